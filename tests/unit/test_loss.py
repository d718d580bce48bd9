"""InfoNCE against its formula in float64, and GradCache against the plain backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hybrid_core import gradcache
from hybrid_core.config import ModelConfig
from hybrid_core.loss import info_nce
from hybrid_core.model import Encoder, load_encoder

quick = settings(deadline=None, max_examples=60)


def unit_vectors(rows: int, seed: int, dimension: int = 16) -> Tensor:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


def brute_force(
    queries: Tensor, passages: Tensor, positive: list[int], query_groups: list[int], passage_groups: list[int], temperature: float
) -> float:  # fmt: skip
    q, p = queries.double().tolist(), passages.double().tolist()
    losses = []
    for i, own in enumerate(positive):
        logit = [sum(a * b for a, b in zip(q[i], row, strict=True)) / temperature for row in p]
        kept = [value for j, value in enumerate(logit) if j == own or passage_groups[j] != query_groups[i]]
        highest = max(kept)
        losses.append(highest + math.log(sum(math.exp(value - highest) for value in kept)) - logit[own])
    return sum(losses) / len(losses)


@quick
@given(
    groups=st.lists(st.integers(0, 6), min_size=1, max_size=14),
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.02, 0.05, 0.5, 1.0]),
    data=st.data(),
)
def test_the_loss_equals_its_formula(groups: list[int], seed: int, temperature: float, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(groups) - 1))
    last = data.draw(st.integers(first, len(groups) - 1))
    positive = list(range(first, last + 1))  # this rank's slice of the global batch
    queries, passages = unit_vectors(len(positive), seed), unit_vectors(len(groups), seed + 1)
    mine = [groups[i] for i in positive]
    loss = info_nce(
        queries, passages, positive=torch.tensor(positive), query_groups=torch.tensor(mine),
        passage_groups=torch.tensor(groups), temperature=temperature,
    )  # fmt: skip
    wanted = brute_force(queries, passages, positive, mine, groups, temperature)
    assert loss.item() == pytest.approx(wanted, rel=1e-5, abs=2e-5)


def loss_of_batch(groups: list[int], temperature: float = 0.05) -> Callable[[Tensor, Tensor], Tensor]:
    ids = torch.tensor(groups)

    def loss_of(queries: Tensor, passages: Tensor) -> Tensor:
        positive = torch.arange(len(ids))
        return info_nce(
            queries, passages, positive=positive, query_groups=ids, passage_groups=ids, temperature=temperature
        )

    return loss_of


def test_slices_of_the_ranks_average_to_the_loss_of_the_whole_batch() -> None:
    queries, passages, groups = (
        unit_vectors(12, 1),
        unit_vectors(12, 2),
        torch.tensor([0, 1, 2, 0, 3, 4, 5, 5, 6, 7, 8, 1]),
    )
    whole = loss_of_batch(groups.tolist())(queries, passages)
    parts = [
        info_nce(
            queries[mine], passages, positive=torch.arange(12)[mine], query_groups=groups[mine],
            passage_groups=groups, temperature=0.05,
        )
        for mine in (slice(0, 4), slice(4, 8), slice(8, 12))
    ]  # fmt: skip
    assert torch.stack(parts).mean().item() == pytest.approx(whole.item(), rel=1e-6)


def test_translations_and_duplicates_get_no_gradient_as_negatives() -> None:
    query, passages = unit_vectors(1, 3), unit_vectors(5, 4).requires_grad_()
    loss = info_nce(
        query, passages, positive=torch.tensor([1]), query_groups=torch.tensor([7]),
        passage_groups=torch.tensor([7, 7, 2, 7, 3]), temperature=0.05,
    )  # fmt: skip
    loss.backward()
    touched = (passages.grad != 0).any(1).tolist()
    assert touched == [False, True, True, False, True]


def test_a_copy_of_the_positive_does_not_raise_the_loss() -> None:
    query, passages = unit_vectors(1, 3), unit_vectors(4, 4)
    passages[0] = query[0]
    passages[3] = query[0]

    def loss(groups: list[int]) -> float:
        return info_nce(
            query, passages, positive=torch.tensor([0]), query_groups=torch.tensor([0]),
            passage_groups=torch.tensor(groups), temperature=0.05,
        ).item()  # fmt: skip

    assert loss([0, 1, 2, 0]) < 1e-4
    assert loss([0, 1, 2, 3]) == pytest.approx(math.log(2), abs=1e-4)


def test_a_batch_of_one_group_has_nothing_to_learn() -> None:
    queries, passages = unit_vectors(4, 5).requires_grad_(), unit_vectors(4, 6).requires_grad_()
    loss = loss_of_batch([3, 3, 3, 3])(queries, passages)
    loss.backward()
    assert loss.item() == 0.0
    assert not queries.grad.any() and not passages.grad.any()


def test_the_loss_falls_when_queries_move_towards_their_passages() -> None:
    queries, passages = unit_vectors(8, 7), unit_vectors(8, 8)
    loss_of = loss_of_batch(list(range(8)))
    nearer = torch.nn.functional.normalize(queries + passages, dim=1)
    assert loss_of(nearer, passages) < loss_of(queries, passages) - 0.5


def test_a_lower_temperature_sharpens_the_softmax() -> None:
    passages = torch.eye(4)
    losses = [loss_of_batch([0, 1, 2, 3], t)(passages, passages).item() for t in (0.1, 0.5, 1.0)]
    assert losses == pytest.approx([math.log(1 + 3 * math.exp(-1 / t)) for t in (0.1, 0.5, 1.0)], abs=1e-6)


def test_the_loss_of_bfloat16_embeddings_is_computed_in_float32() -> None:
    queries, passages = (unit_vectors(32, seed).bfloat16().requires_grad_() for seed in (9, 10))
    loss = loss_of_batch(list(range(32)), 0.02)(queries, passages)
    loss.backward()
    wanted = brute_force(queries, passages, list(range(32)), list(range(32)), list(range(32)), 0.02)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert queries.grad.dtype == torch.bfloat16 and queries.grad.any()


Columns = tuple[list[list[int]], list[list[int]]]


@pytest.fixture
def encoder(encoder_directory: Path) -> Encoder:
    config = ModelConfig(name=str(encoder_directory), pooling="mean", max_query_tokens=32, max_passage_tokens=64)
    return load_encoder(config)


def tokens(encoder: Encoder, count: int = 14) -> Columns:
    """Texts of many lengths, so that micro-batches are padded differently."""
    pairs = made_up_pairs(count, ("en",))
    passages = [" ".join(p.passage.split()[: 1 + i % 9]) for i, p in enumerate(pairs)]
    return encoder.tokenize([p.query for p in pairs], "query"), encoder.tokenize(passages, "passage")


def embedder(encoder: Encoder) -> Callable[[list[list[int]]], Tensor]:
    return lambda token_ids: encoder(*encoder.pad(token_ids))


def gradients(encoder: Encoder) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return found


def plain_step(encoder: Encoder, columns: Columns, loss_of: Callable[..., Tensor]) -> tuple[float, dict[str, Tensor]]:
    embed = embedder(encoder)
    loss = loss_of(*[embed(column) for column in columns])
    loss.backward()
    return loss.item(), gradients(encoder)


GROUPS = [0, 1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 1, 12, 13]


def check_gradients(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    scale = max(gradient.norm().item() for gradient in wanted.values())
    assert scale > 1e-3
    for name, gradient in wanted.items():
        # float64 leaves no room for rounding; in float32 a parameter with small gradients is mostly rounding
        reference = scale if gradient.dtype == torch.float32 else gradient.norm().item() + 1e-6 * scale
        assert (found[name] - gradient).norm().item() <= tolerance * reference, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("micro_batch", [1, 3, 5, 7, 14, 100])
def test_gradcache_gives_the_gradients_of_the_plain_step(
    encoder: Encoder, micro_batch: int, dtype: torch.dtype, tolerance: float
) -> None:
    encoder.to(dtype)
    columns, loss_of = tokens(encoder), loss_of_batch(GROUPS)
    loss, wanted = plain_step(encoder, columns, loss_of)
    cached_loss = gradcache.step(embedder(encoder), columns, loss_of, micro_batch)
    assert cached_loss.item() == pytest.approx(loss, rel=tolerance)
    assert len(wanted) > 20
    check_gradients(gradients(encoder), wanted, tolerance)


def test_gradcache_adds_to_gradients_that_are_there(encoder: Encoder) -> None:
    encoder.double()
    columns, loss_of = tokens(encoder), loss_of_batch(GROUPS)
    _, once = plain_step(encoder, columns, loss_of)
    gradcache.step(embedder(encoder), columns, loss_of, 4)
    gradcache.step(embedder(encoder), columns, loss_of, 4)
    check_gradients(gradients(encoder), {name: 2 * gradient for name, gradient in once.items()}, 1e-6)


def test_gradcache_never_embeds_more_than_a_micro_batch(encoder: Encoder) -> None:
    columns, embed = tokens(encoder), embedder(encoder)
    sizes: list[tuple[bool, int]] = []

    def counting(token_ids: list[list[int]]) -> Tensor:
        sizes.append((torch.is_grad_enabled(), len(token_ids)))
        return embed(token_ids)

    loss = gradcache.step(counting, columns, loss_of_batch(GROUPS), 4)
    assert not loss.requires_grad
    assert sizes == [(False, n) for n in (4, 4, 4, 2) * 2] + [(True, n) for n in (4, 4, 4, 2) * 2]


def test_gradcache_leaves_frozen_parameters_alone(encoder_directory: Path) -> None:
    config = ModelConfig(name=str(encoder_directory), pooling="cls", max_passage_tokens=64, freeze_embeddings=True)
    encoder = load_encoder(config)
    columns, loss_of = tokens(encoder), loss_of_batch(GROUPS)
    _, wanted = plain_step(encoder, columns, loss_of)
    gradcache.step(embedder(encoder), columns, loss_of, 5)
    found = gradients(encoder)
    assert found.keys() == wanted.keys()
    assert not any("embeddings" in name for name in found)


def test_gradcache_refuses_a_loss_that_ignores_a_column(encoder: Encoder) -> None:
    with pytest.raises(RuntimeError, match="does not depend on one of the embedding columns"):
        gradcache.step(embedder(encoder), tokens(encoder), lambda queries, passages: queries.sum(), 4)
