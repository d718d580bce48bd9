"""GradCache against the plain step, and both against one forward and backward pass over everything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import made_up_pairs
from torch import Tensor

from hybrid_core.config import ModelConfig
from hybrid_core.encode import token_batches
from hybrid_core.gradcache import cached_step, plain_step
from hybrid_core.loss import info_nce
from hybrid_core.model import Encoder, load_encoder

Texts = list[list[int]]
GROUPS = torch.tensor([0, 1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 1, 12, 13])
steps = pytest.mark.parametrize("step", [plain_step, cached_step])


@pytest.fixture
def encoder(encoder_directory: Path) -> Encoder:
    config = ModelConfig(name=str(encoder_directory), pooling="mean", max_query_tokens=32, max_passage_tokens=64)
    return load_encoder(config)


def tokens(encoder: Encoder) -> Texts:
    """Queries, then passages of many lengths, so that pieces are padded differently."""
    pairs = made_up_pairs(len(GROUPS), ("en",))
    passages = [" ".join(p.passage.split()[: 1 + i % 9]) for i, p in enumerate(pairs)]
    return encoder.tokenize([p.query for p in pairs], "query") + encoder.tokenize(passages, "passage")


def embedder(encoder: Encoder) -> Callable[[Texts], Tensor]:
    return lambda token_ids: encoder(*encoder.pad(token_ids))


def loss_of(embeddings: Tensor) -> Tensor:
    queries, passages = embeddings[: len(GROUPS)], embeddings[len(GROUPS) :]
    positive = torch.eye(len(GROUPS), dtype=torch.bool)
    return info_nce(queries @ passages.T / 0.05, positive, GROUPS[:, None] == GROUPS).mean()


def in_order(texts: Texts, size: int) -> list[np.ndarray]:
    return np.split(np.arange(len(texts)), range(size, len(texts), size))


def shuffled(texts: Texts, size: int) -> list[np.ndarray]:
    return np.split(np.random.default_rng(size).permutation(len(texts)), range(size, len(texts), size))


def by_length(texts: Texts, budget: int) -> list[np.ndarray]:
    return token_batches([len(ids) for ids in texts], budget)


def bfloat16() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def gradients(encoder: Encoder) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return found


def all_at_once(encoder: Encoder, texts: Texts) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one pass over all texts, without any of the code under test."""
    loss = loss_of(embedder(encoder)(texts))
    loss.backward()
    return loss.item(), gradients(encoder)


def check_gradients(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    scale = max(gradient.norm().item() for gradient in wanted.values())
    assert scale > 1e-3
    for name, gradient in wanted.items():
        # float64 leaves no room for rounding; in float32 a parameter with small gradients is mostly rounding
        reference = scale if gradient.dtype == torch.float32 else gradient.norm().item() + 1e-6 * scale
        assert (found[name] - gradient).norm().item() <= tolerance * reference, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("cut", "size"),
    [(in_order, 1), (in_order, 3), (in_order, 14), (in_order, 100), (shuffled, 5), (shuffled, 7), (by_length, 64),
     (by_length, 200)],
)  # fmt: skip
@steps
def test_any_pieces_give_the_loss_and_gradients_of_one_pass(
    encoder: Encoder, step: Callable[..., Tensor], cut: Callable[..., list[np.ndarray]], size: int, dtype: torch.dtype,
    tolerance: float,
) -> None:  # fmt: skip
    encoder.to(dtype)
    texts = tokens(encoder)
    loss, wanted = all_at_once(encoder, texts)
    found = step(embedder(encoder), texts, cut(texts, size), loss_of, nullcontext)
    assert not found.requires_grad
    assert found.item() == pytest.approx(loss, rel=tolerance)
    assert len(wanted) > 20
    check_gradients(gradients(encoder), wanted, tolerance)


@pytest.mark.parametrize(("cut", "size"), [(in_order, 3), (shuffled, 6), (by_length, 64)])
def test_in_bfloat16_the_cached_step_is_near_the_plain_one(
    encoder: Encoder, cut: Callable[..., list[np.ndarray]], size: int
) -> None:
    texts = tokens(encoder)
    pieces = cut(texts, size)
    plain = plain_step(embedder(encoder), texts, pieces, loss_of, bfloat16)
    wanted = gradients(encoder)
    cached = cached_step(embedder(encoder), texts, pieces, loss_of, bfloat16)
    assert cached.item() == pytest.approx(plain.item(), rel=1e-6)  # the same pieces, hence the same rounding
    check_gradients(gradients(encoder), wanted, 0.01)


@steps
def test_in_bfloat16_gradients_are_those_of_float32_up_to_its_rounding(
    encoder: Encoder, step: Callable[..., Tensor]
) -> None:
    texts = tokens(encoder)
    loss, wanted = all_at_once(encoder, texts)
    found = step(embedder(encoder), texts, by_length(texts, 64), loss_of, bfloat16)
    assert found.item() != loss
    assert found.item() == pytest.approx(loss, rel=0.05)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    flat, flat_wanted = (torch.cat([g.flatten() for g in x.values()]) for x in (gradients(encoder), wanted))
    assert torch.cosine_similarity(flat, flat_wanted, dim=0) > 0.98


@steps
def test_a_step_adds_to_gradients_that_are_there(encoder: Encoder, step: Callable[..., Tensor]) -> None:
    encoder.double()
    texts = tokens(encoder)
    _, once = all_at_once(encoder, texts)
    for _ in range(2):
        step(embedder(encoder), texts, in_order(texts, 4), loss_of, nullcontext)
    check_gradients(gradients(encoder), {name: 2 * gradient for name, gradient in once.items()}, 1e-6)


def test_the_cached_step_never_embeds_more_than_a_piece(encoder: Encoder) -> None:
    texts, embed = tokens(encoder), embedder(encoder)
    sizes: list[tuple[bool, int]] = []

    def counting(token_ids: Texts) -> Tensor:
        sizes.append((torch.is_grad_enabled(), len(token_ids)))
        return embed(token_ids)

    cached_step(counting, texts, in_order(texts, 10), loss_of, nullcontext)
    assert sizes == [(False, 10), (False, 10), (False, 8), (True, 10), (True, 10), (True, 8)]


def test_the_cached_step_holds_the_activations_of_one_piece(encoder: Encoder) -> None:
    texts, embed = tokens(encoder), embedder(encoder)
    held, most = 0, {plain_step: 0, cached_step: 0}
    pieces = in_order(texts, 7)
    for step in most:

        class Held(torch.autograd.Function):
            """Counts graphs: up when a piece is embedded with one, down when it is backpropagated."""

            @staticmethod
            def forward(ctx: object, x: Tensor) -> Tensor:
                nonlocal held
                held += torch.is_grad_enabled() or x.requires_grad
                most[step] = max(most[step], held)  # noqa: B023
                return x.clone()

            @staticmethod
            def backward(ctx: object, grad: Tensor) -> Tensor:
                nonlocal held
                held -= 1
                return grad

        step(lambda ids: Held.apply(embed(ids)), texts, pieces, loss_of, nullcontext)
        assert held == 0
    assert most == {plain_step: 4, cached_step: 1}


@steps
def test_a_step_leaves_frozen_parameters_alone(encoder_directory: Path, step: Callable[..., Tensor]) -> None:
    config = ModelConfig(name=str(encoder_directory), pooling="cls", max_passage_tokens=64, freeze_embeddings=True)
    encoder = load_encoder(config)
    texts = tokens(encoder)
    _, wanted = all_at_once(encoder, texts)
    step(embedder(encoder), texts, in_order(texts, 5), loss_of, nullcontext)
    found = gradients(encoder)
    assert found.keys() == wanted.keys()
    assert not any("embeddings" in name for name in found)


@steps
def test_parameters_of_the_loss_receive_their_gradient_once(encoder: Encoder, step: Callable[..., Tensor]) -> None:
    texts, temperature = tokens(encoder), torch.nn.Parameter(torch.tensor(1.5))
    step(embedder(encoder), texts, in_order(texts, 4), lambda x: loss_of(x) * temperature, nullcontext)
    assert temperature.grad.item() == pytest.approx(all_at_once(encoder, texts)[0], rel=1e-5)


def test_the_cached_step_refuses_a_loss_that_ignores_the_embeddings(encoder: Encoder) -> None:
    texts, weight = tokens(encoder), torch.nn.Parameter(torch.ones(()))
    with pytest.raises(RuntimeError, match="does not depend on the embeddings"):
        cached_step(embedder(encoder), texts, in_order(texts, 4), lambda embeddings: weight * 2, nullcontext)
