"""InfoNCE and distillation against their formulas, written out in Python floats."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hybrid_core.loss import distillation, info_nce

quick = settings(max_examples=80)
NAN = float("nan")


def logits_of(queries: int, passages: int, seed: int, temperature: float) -> Tensor:
    cosines = np.tanh(np.random.default_rng(seed).standard_normal((queries, passages)) / 3)
    return torch.from_numpy(cosines / temperature).float()


def logsumexp(values: list[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


def info_nce_by_hand(logits: list[float], positive: list[bool], excluded: list[bool]) -> float:
    """-log exp(l+) / (exp(l+) + sum of exp(l-)), averaged over the positives of one query."""
    negatives = [x for x, p, e in zip(logits, positive, excluded, strict=True) if not p and not e]
    losses = [logsumexp([own, *negatives]) - own for own, p in zip(logits, positive, strict=True) if p]
    return sum(losses) / len(losses)


def divergence_by_hand(logits: list[float], teacher: list[float], temperature: float) -> float:
    """KL(teacher || student) over the passages that have a score."""
    scored = [(s, t / temperature) for s, t in zip(logits, teacher, strict=True) if not math.isnan(t)]
    if len(scored) < 2:
        return 0.0
    student_sum, teacher_sum = logsumexp([s for s, _ in scored]), logsumexp([t for _, t in scored])
    return sum(math.exp(t - teacher_sum) * ((t - teacher_sum) - (s - student_sum)) for s, t in scored)


kinds = st.sampled_from(["positive", "positive and excluded", "excluded", "negative", "negative"])


@quick
@given(
    rows=st.lists(st.lists(kinds, min_size=6, max_size=6), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.02, 0.05, 0.5, 1.0]),
)
def test_info_nce_equals_its_formula(rows: list[list[str]], seed: int, temperature: float) -> None:
    rows = [["positive", *row] for row in rows]  # every query has one at least
    positive = [["positive" in kind for kind in row] for row in rows]
    excluded = [["excluded" in kind for kind in row] for row in rows]
    logits = logits_of(len(rows), 7, seed, temperature)
    losses = info_nce(logits, torch.tensor(positive), torch.tensor(excluded))
    wanted = [info_nce_by_hand(*row) for row in zip(logits.tolist(), positive, excluded, strict=True)]
    assert losses.shape == (len(rows),)
    assert losses.tolist() == pytest.approx(wanted, rel=1e-5, abs=2e-5)


@quick
@given(passages=st.integers(2, 9), seed=st.integers(0, 10**6))
def test_with_one_positive_and_nothing_excluded_it_is_the_cross_entropy(passages: int, seed: int) -> None:
    logits, own = logits_of(5, passages, seed, 0.05), torch.arange(5) % passages
    positive = torch.nn.functional.one_hot(own, passages).bool()
    wanted = torch.nn.functional.cross_entropy(logits, own, reduction="none")
    assert info_nce(logits, positive, positive).tolist() == pytest.approx(wanted.tolist(), rel=1e-5, abs=2e-5)
    assert torch.equal(info_nce(logits, positive, positive), info_nce(logits, positive, ~torch.ones_like(positive)))


def test_a_second_positive_is_no_negative_of_the_first() -> None:
    logits = torch.tensor([[5.0, 5.0, 0.0]])
    both = info_nce(logits, torch.tensor([[True, True, False]]), torch.tensor([[False] * 3]))
    assert both.item() == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-5)
    one = info_nce(logits, torch.tensor([[True, False, False]]), torch.tensor([[False] * 3]))
    assert one.item() == pytest.approx(math.log(2 + math.exp(-5)), rel=1e-5)


def test_the_loss_of_several_positives_is_the_mean_of_their_losses() -> None:
    logits, excluded = logits_of(1, 6, 3, 0.2), torch.tensor([[True, True, True, False, False, False]])
    each = [info_nce(logits, torch.arange(6)[None] == own, excluded).item() for own in range(3)]
    assert len(set(each)) == 3
    assert info_nce(logits, torch.arange(6)[None] < 3, excluded).item() == pytest.approx(sum(each) / 3, rel=1e-6)


def test_excluded_passages_get_no_gradient() -> None:
    logits = logits_of(1, 6, 4, 0.05).requires_grad_()
    positive = torch.tensor([[False, True, False, False, False, True]])
    excluded = torch.tensor([[True, True, False, True, False, False]])
    info_nce(logits, positive, excluded).sum().backward()
    assert (logits.grad[0] != 0).tolist() == [False, True, True, False, True, True]
    assert (logits.grad[0] > 0).tolist() == [False, False, True, False, True, False]  # downhill is away from negatives


def test_an_excluded_copy_of_the_positive_does_not_raise_the_loss() -> None:
    logits, positive = torch.tensor([[20.0, 0.0, 0.0, 20.0]]), torch.tensor([[True, False, False, False]])
    copy = torch.tensor([[False, False, False, True]])
    assert info_nce(logits, positive, copy).item() < 1e-4
    assert info_nce(logits, positive, ~torch.ones_like(copy)).item() == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 10.0])
def test_a_query_without_any_negative_has_loss_0_and_finite_gradients(temperature: float) -> None:
    logits = logits_of(2, 4, 5, temperature).requires_grad_()
    positive = torch.tensor([[True, False, False, False], [False, True, False, False]])
    excluded = torch.tensor([[True] * 4, [False] * 4])
    losses = info_nce(logits, positive, excluded)
    losses.sum().backward()
    assert losses[0].item() == 0.0 and losses[1].item() >= 0.0
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0].any()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_a_lower_temperature_sharpens_the_softmax(temperature: float) -> None:
    eye = torch.eye(4)
    losses = info_nce(eye / temperature, eye.bool(), eye.bool())
    assert losses.tolist() == pytest.approx([math.log(1 + 3 * math.exp(-1 / temperature))] * 4, abs=1e-6)


@quick
@given(
    teacher=st.lists(
        st.lists(st.floats(-3, 3) | st.just(NAN), min_size=5, max_size=5), min_size=1, max_size=6
    ),
    seed=st.integers(0, 10**6),
    teacher_temperature=st.sampled_from([0.05, 0.3, 1.0, 4.0]),
)  # fmt: skip
def test_distillation_is_the_divergence_over_the_scored_passages(
    teacher: list[list[float]], seed: int, teacher_temperature: float
) -> None:
    logits = logits_of(len(teacher), 5, seed, 0.2)
    losses = distillation(logits, torch.tensor(teacher), teacher_temperature)
    wanted = [divergence_by_hand(*row, teacher_temperature) for row in zip(logits.tolist(), teacher, strict=True)]
    assert losses.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_distillation_is_0_where_the_student_agrees_with_the_teacher() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.4], [0.2, NAN, 0.7]])
    student = torch.nan_to_num(scores, nan=0.3) / 0.05 + 7.0  # a softmax does not see what is added to all
    assert distillation(student, scores, 0.05).abs().max() < 1e-5
    assert distillation(student.flip(1), scores, 0.05).min() > 1.0


def test_scores_that_are_missing_are_ignored_in_loss_and_gradient() -> None:
    logits = logits_of(1, 4, 6, 0.1)
    teacher = torch.tensor([[0.3, NAN, 0.8, NAN]])
    other = logits.clone()
    other[0, 1], other[0, 3] = 50.0, -50.0
    other.requires_grad_()
    loss = distillation(other, teacher, 0.1)
    loss.sum().backward()
    assert loss.item() == pytest.approx(distillation(logits, teacher, 0.1).item(), rel=1e-5)
    assert loss.item() == pytest.approx(distillation(logits[:, ::2], teacher[:, ::2], 0.1).item(), rel=1e-5)
    assert (other.grad[0] != 0).tolist() == [True, False, True, False]


@pytest.mark.parametrize("scores", [[NAN, NAN, NAN], [0.9, NAN, NAN], [NAN, NAN, -2.0]])
def test_fewer_than_two_scores_say_nothing(scores: list[float]) -> None:
    logits = logits_of(2, 3, 8, 0.05).requires_grad_()
    losses = distillation(logits, torch.tensor([scores, [0.1, 0.9, NAN]]), 0.05)
    losses.sum().backward()
    assert losses[0].item() == 0.0 and losses[1].item() > 0.0
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0].any() and logits.grad[1].any()
