"""From embeddings to the loss of a step: masks, Matryoshka, temperature, and slices that add up to the whole batch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hybrid_core.objective
from hybrid_core.batch import EMPTY, Batch
from hybrid_core.config import TrainConfig
from hybrid_core.errors import RequestError
from hybrid_core.objective import Objective

quick = settings(max_examples=50)
DIMENSION = 16
LOSSES = ("info_nce", "distillation", "info_nce_and_distillation")


def unit_vectors(rows: int, seed: int) -> Tensor:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION))
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


def a_batch(groups: list[int], slots: Sequence[str] = ("own",), *, seed: int = 0) -> Batch:
    """A step whose examples bring passages of these kinds: `own`, `further` (positive), `hard` (negative), `empty`."""
    generator, count = np.random.default_rng(seed), len(groups)
    kinds = np.array([list(slots)] * count)
    group = np.array(groups, dtype=np.int64)
    hard = generator.integers(-2 - count, max(groups) + 2, size=kinds.shape)  # other passages, unknown texts, even own
    hard[hard == EMPTY] = -2
    teacher = np.where(kinds == "empty", np.nan, generator.uniform(0, 1, kinds.shape)).astype(np.float32)
    teacher[generator.random(kinds.shape) < 0.2] = np.nan
    return Batch(
        queries=[f"q{i}" for i in range(count)],
        passages=[f"p{i}-{s}" for i in range(count) for s in range(len(slots))],
        languages=["en"] * count * len(slots),
        teacher=teacher,
        query_groups=group,
        passage_groups=np.select(
            [kinds == "hard", kinds == "empty"], [hard, np.full_like(hard, EMPTY)], group[:, None]
        ),
        positive=(kinds == "own") | (kinds == "further"),
    )


def sliced(batch: Batch, mine: slice) -> Batch:
    """What the rank with the examples `mine` holds of a batch: its own teacher scores, the groups of all."""
    return dataclasses.replace(batch, queries=batch.queries[mine], teacher=batch.teacher[mine])


def by_hand(
    queries: Tensor, passages: Tensor, batch: Batch, temperature: float, teacher_temperature: float, loss: str,
    negatives: str = "batch", dimension: int = DIMENSION,
) -> float:  # fmt: skip
    """The loss of a whole batch in float64, query by query and passage by passage."""
    q, p = (x.double().numpy()[:, :dimension] for x in (queries, passages))
    q, p = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, p))
    total = 0.0
    for i, group in enumerate(batch.query_groups):
        logit = (p @ q[i] / temperature).reshape(-1, batch.slots)
        contrasted = [
            logit[j, s]
            for j in range(len(logit))
            for s in range(batch.slots)
            if batch.passage_groups[j, s] not in (group, EMPTY)
            and not (j == i and batch.positive[j, s])
            and (negatives == "batch" or j == i)
        ]
        own = [logit[i, s] for s in range(batch.slots) if batch.positive[i, s]]
        if loss != "distillation":
            total += sum(np.logaddexp.reduce([x, *contrasted]) - x for x in own) / len(own)
        if loss != "info_nce":
            scored = ~np.isnan(batch.teacher[i])
            if scored.sum() > 1:
                student = logit[i][scored] - np.logaddexp.reduce(logit[i][scored])
                wanted = batch.teacher[i][scored].astype(np.float64) / teacher_temperature
                wanted = wanted - np.logaddexp.reduce(wanted)
                total += float((np.exp(wanted) * (wanted - student)).sum())
    return total / len(batch.query_groups)


def objective(**settings_: object) -> Objective:
    return Objective(TrainConfig(**settings_), DIMENSION)  # type: ignore[arg-type]


def embedded(batch: Batch, seed: int = 1) -> tuple[Tensor, Tensor]:
    return unit_vectors(len(batch.query_groups), seed), unit_vectors(batch.passage_groups.size, seed + 1)


shapes = st.sampled_from(
    [["own"], ["own", "hard"], ["own", "further", "further"], ["own", "empty", "hard", "hard"],
     ["own", "further", "hard", "empty"]]
)  # fmt: skip
some_groups = st.lists(st.integers(0, 6), min_size=1, max_size=12)


@quick
@given(
    groups=some_groups, slots=shapes, seed=st.integers(0, 10**6), loss=st.sampled_from(LOSSES),
    negatives=st.sampled_from(["batch", "own"]), temperature=st.sampled_from([0.02, 0.1, 1.0]),
    teacher_temperature=st.sampled_from([None, 0.5]),
)  # fmt: skip
def test_the_objective_equals_its_formula(
    groups: list[int], slots: list[str], seed: int, loss: str, negatives: str, temperature: float,
    teacher_temperature: float | None,
) -> None:  # fmt: skip
    batch = a_batch(groups, slots, seed=seed)
    queries, passages = embedded(batch, seed)
    found = objective(temperature=temperature, teacher_temperature=teacher_temperature)(
        queries, passages, batch, 0, loss, negatives
    )
    wanted = by_hand(
        queries, passages, batch, temperature, teacher_temperature or temperature, loss, negatives
    )  # a teacher without temperature of its own shares the student's
    assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@quick
@given(
    groups=some_groups, slots=shapes, seed=st.integers(0, 10**6), loss=st.sampled_from(LOSSES),
    negatives=st.sampled_from(["batch", "own"]), cuts=st.lists(st.integers(0, 12), max_size=3),
)  # fmt: skip
def test_the_losses_of_the_ranks_add_up_to_the_loss_of_the_whole_batch(
    groups: list[int], slots: list[str], seed: int, loss: str, negatives: str, cuts: list[int]
) -> None:
    batch = a_batch(groups, slots, seed=seed)
    queries, passages = embedded(batch, seed)
    of = objective(temperature=0.05)
    whole = of(queries, passages, batch, 0, loss, negatives).item()
    edges = [0, *sorted(min(cut, len(groups)) for cut in cuts), len(groups)]
    parts = [slice(a, b) for a, b in pairwise(edges)]  # of any size, even empty
    losses = [of(queries[m], passages, sliced(batch, m), m.start, loss, negatives).item() for m in parts]
    assert sum(losses) == pytest.approx(whole, rel=1e-5, abs=1e-6)


def test_gradients_of_the_ranks_add_up_to_those_of_the_whole_batch() -> None:
    batch = a_batch([0, 1, 2, 0, 3], ["own", "further", "hard"], seed=2)
    queries, passages = (x.requires_grad_() for x in embedded(batch))
    of = objective(temperature=0.05)
    wanted = torch.autograd.grad(of(queries, passages, batch, 0, LOSSES[2], "batch"), [queries, passages])
    for m in (slice(0, 2), slice(2, 5)):
        of(queries[m], passages, sliced(batch, m), m.start, LOSSES[2], "batch").backward()
    for found, whole in zip((queries.grad, passages.grad), wanted, strict=True):
        assert torch.allclose(found, whole, rtol=1e-5, atol=1e-6)


def test_translations_and_duplicates_get_no_gradient_as_negatives() -> None:
    batch = a_batch([7, 7, 2, 7, 3])
    queries, passages = embedded(batch)
    passages.requires_grad_()
    objective()(queries[1:2], passages, sliced(batch, slice(1, 2)), 1, "info_nce", "batch").backward()
    assert (passages.grad != 0).any(1).tolist() == [False, True, True, False, True]


def test_a_batch_of_one_group_has_nothing_to_learn() -> None:
    batch = a_batch([3, 3, 3, 3], ["own", "empty"])
    queries, passages = (x.requires_grad_() for x in embedded(batch))
    loss = objective()(queries, passages, batch, 0, "info_nce", "batch")
    loss.backward()
    assert loss.item() == 0.0
    assert not queries.grad.any() and not passages.grad.any()


def test_an_empty_slot_changes_nothing() -> None:
    plain, padded = a_batch([0, 1, 2]), a_batch([0, 1, 2], ["own", "empty"])
    queries, passages = embedded(plain)
    twice = passages.repeat_interleave(2, dim=0)  # an empty slot repeats the own passage
    alone = objective()(queries, passages, plain, 0, "info_nce", "batch")
    assert objective()(queries, twice, padded, 0, "info_nce", "batch").item() == pytest.approx(alone.item(), rel=1e-6)


def test_own_negatives_leave_the_other_examples_out() -> None:
    batch = a_batch([0, 1, 2], ["own", "hard"])
    batch.passage_groups[:, 1] = -9  # texts that answer nothing
    queries, passages = embedded(batch)
    passages.requires_grad_()
    objective()(queries[1:2], passages, sliced(batch, slice(1, 2)), 1, "info_nce", "own").backward()
    assert (passages.grad != 0).any(1).tolist() == [False, False, True, True, False, False]
    passages.grad = None
    objective()(queries[1:2], passages, sliced(batch, slice(1, 2)), 1, "info_nce", "batch").backward()
    assert (passages.grad != 0).any(1).all()


def test_the_loss_falls_when_queries_move_towards_their_passages() -> None:
    batch = a_batch(list(range(8)))
    queries, passages = embedded(batch)
    nearer = torch.nn.functional.normalize(queries + passages, dim=1)
    far, near = (objective(temperature=0.05)(q, passages, batch, 0, "info_nce", "batch") for q in (queries, nearer))
    assert near < far - 0.5


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("matryoshka", [(8,), (4, 8), (16, 2, 2)])
def test_matryoshka_is_the_mean_of_the_losses_of_renormalised_prefixes(loss: str, matryoshka: tuple[int, ...]) -> None:
    batch = a_batch([0, 1, 2, 0, 4, 5], ["own", "further", "hard"], seed=3)
    queries, passages = embedded(batch)
    found = objective(matryoshka=matryoshka, temperature=0.1)(queries, passages, batch, 0, loss, "batch")
    dimensions = {DIMENSION, *matryoshka}
    each = [by_hand(queries, passages, batch, 0.1, 0.1, loss, dimension=d) for d in dimensions]
    assert found.item() == pytest.approx(sum(each) / len(dimensions), rel=1e-4)


def test_matryoshka_dimensions_beyond_the_embedding_are_refused() -> None:
    with pytest.raises(RequestError, match=r"train\.matryoshka=64: the embedding has 16 numbers; choose fewer"):
        objective(matryoshka=(8, 64))


def test_a_learned_temperature_receives_a_gradient() -> None:
    batch = a_batch([0, 1, 2, 3])
    queries, passages = embedded(batch)
    of = objective(temperature=0.05, learn_temperature=True)
    loss = of(queries, passages, batch, 0, "info_nce", "batch")
    loss.backward()
    step = 1e-4  # of the logarithm, which is what is learned
    above, below = (
        by_hand(queries, passages, batch, 0.05 * math.exp(sign * step), 1.0, "info_nce") for sign in (1, -1)
    )
    assert of.log_temperature.grad.item() == pytest.approx((above - below) / (2 * step), rel=1e-3)
    assert [name for name, p in of.named_parameters() if p.requires_grad] == ["log_temperature"]
    assert of.temperature.item() == pytest.approx(0.05)


def test_a_fixed_temperature_does_not() -> None:
    batch = a_batch([0, 1, 2, 3])
    queries, passages = (x.requires_grad_() for x in embedded(batch))
    of = objective(temperature=0.05)
    of(queries, passages, batch, 0, "info_nce", "batch").backward()
    assert of.log_temperature.grad is None
    assert not any(p.requires_grad for p in of.parameters())


@pytest.mark.parametrize(("logarithm", "temperature"), [(-50.0, 1e-3), (50.0, 10.0)])
def test_a_learned_temperature_stays_within_its_bounds(logarithm: float, temperature: float) -> None:
    of = objective(learn_temperature=True)
    with torch.no_grad():
        of.log_temperature.fill_(logarithm)
    assert of.temperature.item() == pytest.approx(temperature)


def test_the_loss_of_bfloat16_embeddings_is_computed_in_float32() -> None:
    batch = a_batch(list(range(32)))
    queries, passages = (x.bfloat16().requires_grad_() for x in embedded(batch))
    loss = objective(temperature=0.02)(queries, passages, batch, 0, "info_nce", "batch")
    loss.backward()
    wanted = by_hand(queries.detach(), passages.detach(), batch, 0.02, 0.02, "info_nce")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert queries.grad.dtype == torch.bfloat16 and queries.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mine", [slice(0, 9), slice(4, 9)])
def test_queries_in_blocks_have_the_loss_and_gradients_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch, loss: str, mine: slice
) -> None:
    batch = a_batch([0, 1, 2, 1, 3, 4, 5, 0, 6], ("own", "hard", "empty"))
    at_once = gradients(batch, mine, loss)
    widest: list[int] = []
    formula = hybrid_core.objective.info_nce
    monkeypatch.setattr("hybrid_core.objective._SCORES_AT_ONCE", 2 * 27 + 1)  # two queries with all 27 passages
    monkeypatch.setattr(
        "hybrid_core.objective.info_nce", lambda logits, *masks: widest.append(len(logits)) or formula(logits, *masks)
    )
    in_blocks = gradients(batch, mine, loss)
    for one, other in zip(at_once, in_blocks, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert loss == "distillation" or max(widest) == 2


def gradients(batch: Batch, mine: slice, loss: str) -> tuple[Tensor, ...]:
    """Loss of one rank's queries, and its gradients for queries, passages and the temperature."""
    queries, passages = (x.requires_grad_() for x in embedded(batch))
    of = objective(matryoshka=(8,), learn_temperature=True)
    value = of(queries[mine], passages, sliced(batch, mine), mine.start, loss, "batch")
    value.backward()
    return value.detach(), queries.grad, passages.grad, of.log_temperature.grad
