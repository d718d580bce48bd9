"""The training loop on one process: resume, schedule, guards, checkpoints."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from hybrid_core import token_gradient
from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.errors import RequestError, TrainingStoppedError
from hybrid_core.model import load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Metrics, Trainer


def trainer(corpus: Corpus, directory: Path, *, seed: int = 0, **settings: object) -> Trainer:
    values = {
        "steps": 6,
        "global_batch": 12,
        "learning_rate": 1e-3,
        "epsilon": 1e-5,
        "log_every": 1,
        "checkpoint_every": 2,
    } | settings
    encoder = load_encoder(ModelConfig(name=str(directory)))
    sources = {"corpus": Source(corpus, CorpusConfig())}
    plan = BatchPlan({"corpus": corpus}, PlanConfig(), seed=seed, global_batch=12)
    return Trainer(encoder, sources, plan, TrainConfig(**values))  # type: ignore[arg-type]


def weights(t: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in t.parameters])


def test_training_lowers_the_loss(corpus: Corpus, encoder_directory: Path) -> None:
    losses: list[float] = []
    trainer(corpus, encoder_directory, steps=40, temperature=0.05).run(
        Hooks(log=lambda step, m: losses.append(m["train/loss"]))
    )
    assert len(losses) == 40
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_resumed_equals_uninterrupted(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    whole = trainer(corpus, encoder_directory)

    def save(step: int, metrics: Metrics) -> None:
        if step == 4:
            whole.save(tmp_path / "at4")

    whole.run(Hooks(save=save))
    resumed = trainer(corpus, encoder_directory)
    resumed.restore(tmp_path / "at4")
    steps: list[int] = []
    resumed.run(Hooks(log=lambda step, metrics: steps.append(step)))
    assert steps == [5, 6]
    assert torch.equal(weights(resumed), weights(whole))


def test_the_logged_curve_of_a_resumed_run_is_the_undisturbed_one(
    corpus: Corpus, encoder_directory: Path, tmp_path: Path
) -> None:
    def curve(t: Trainer) -> dict[int, Metrics]:
        logged: dict[int, Metrics] = {}
        t.run(Hooks(log=logged.__setitem__, save=lambda step, m: t.save(tmp_path / str(step))))
        timeless = "train/step_seconds"
        return {step: {k: v for k, v in metrics.items() if k != timeless} for step, metrics in logged.items()}

    settings = {"steps": 8, "log_every": 4, "checkpoint_every": 3}
    whole = curve(trainer(corpus, encoder_directory, **settings))
    resumed = trainer(corpus, encoder_directory, **settings)
    resumed.restore(tmp_path / "3")
    assert curve(resumed) == whole
    assert {"train/loss_mono", "train/loss_cross"} <= whole[
        4
    ].keys()  # both modes began before the checkpoint, or after
    later = trainer(corpus, encoder_directory, **settings)
    later.restore(tmp_path / "6")
    assert curve(later) == {8: whole[8]}


def test_gradcache_trains_like_the_plain_step(corpus: Corpus, encoder_directory: Path) -> None:
    plain, cached = (
        trainer(corpus, encoder_directory),
        trainer(corpus, encoder_directory, gradcache=True, tokens_per_forward=64),
    )
    plain.run(Hooks())
    cached.run(Hooks())
    assert torch.allclose(weights(plain), weights(cached), atol=2e-5)


def test_sparse_gradients_of_a_cached_step_do_not_grow_with_the_batch(
    corpus: Corpus, encoder_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trainer(corpus, encoder_directory)
    plain.run(Hooks())
    monkeypatch.setattr(token_gradient, "HELD_ENTRIES", 100, raising=False)
    cached = trainer(corpus, encoder_directory, gradcache=True, tokens_per_forward=64)
    embedding = cached.encoder.backbone.get_input_embeddings()
    held: list[int] = []

    def see(*_: object) -> None:
        gradient = embedding.weight.grad
        held.append(gradient._nnz() if gradient is not None and gradient.is_sparse else 0)

    embedding.register_forward_hook(see)
    cached.run(Hooks())
    assert 0 < max(held) <= 100 + 64
    assert torch.allclose(weights(plain), weights(cached), atol=2e-5)


def test_a_checkpoint_cut_short_is_refused(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    t = trainer(corpus, encoder_directory)
    t.step(t.plan.step(0))
    t.save(tmp_path / "c")
    file = tmp_path / "c" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RequestError, match=r"optimizer\.safetensors is not the file named in complete\.json"):
        trainer(corpus, encoder_directory).restore(tmp_path / "c")
    (tmp_path / "c" / "complete.json").unlink()
    with pytest.raises(RequestError, match="cut short"):
        trainer(corpus, encoder_directory).restore(tmp_path / "c")


def test_a_checkpoint_of_another_plan_is_refused(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    t = trainer(corpus, encoder_directory)
    t.save(tmp_path / "c")
    with pytest.raises(RuntimeError, match="was written under plan"):
        trainer(corpus, encoder_directory, seed=1).restore(tmp_path / "c")


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory)
    with torch.no_grad():
        t.parameters[0].fill_(float("nan"))
    with pytest.raises(TrainingStoppedError, match=r"step 0: loss nan.*not finite on rank\(s\) \[0\] \(weights\)"):
        t.run(Hooks())


def test_learning_rate_warms_up_and_falls_to_zero(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory, steps=100, warmup=0.1)
    rates = [t.learning_rate(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == rates[9] == pytest.approx(1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(1e-3 / 90)
    constant = trainer(corpus, encoder_directory, steps=100, warmup=0.0, schedule="constant")
    assert {constant.learning_rate(k) for k in range(100)} == {1e-3}


def test_hooks_are_called_at_their_steps(corpus: Corpus, encoder_directory: Path) -> None:
    seen: dict[str, list[int]] = {"log": [], "save": [], "evaluate": []}

    def evaluate(step: int) -> Metrics:
        seen["evaluate"].append(step)
        return {"suite/multi/mAP": 0.5}

    logged: dict[int, Metrics] = {}
    trainer(corpus, encoder_directory, steps=7, log_every=3, checkpoint_every=4, evaluate_every=2).run(
        Hooks(log=logged.__setitem__, save=lambda step, m: seen["save"].append(step), evaluate=evaluate)
    )
    assert seen["save"] == [4, 7]
    assert seen["evaluate"] == [2, 4, 6, 7]
    assert list(logged) == [2, 3, 4, 6, 7]
    assert "suite/multi/mAP" in logged[2] and "suite/multi/mAP" not in logged[3]


def test_recomputed_activations_train_like_kept_ones(corpus: Corpus, encoder_directory: Path) -> None:
    kept, recomputed = (
        trainer(corpus, encoder_directory),
        trainer(corpus, encoder_directory, gradient_checkpointing=True),
    )
    kept.run(Hooks())
    recomputed.run(Hooks())
    assert torch.allclose(weights(kept), weights(recomputed), atol=1e-6)


@pytest.mark.parametrize("gradcache", [False, True])
def test_pieces_by_length_train_like_one_piece(corpus: Corpus, encoder_directory: Path, gradcache: bool) -> None:
    whole = trainer(corpus, encoder_directory, tokens_per_forward=100_000)
    pieces = trainer(corpus, encoder_directory, tokens_per_forward=64, gradcache=gradcache)
    whole.run(Hooks())
    pieces.run(Hooks())
    assert torch.allclose(weights(whole), weights(pieces), atol=2e-5)


@pytest.mark.parametrize("gradcache", [False, True])
def test_bfloat16_trains_the_same_with_and_without_gradcache(
    corpus: Corpus, encoder_directory: Path, gradcache: bool
) -> None:
    losses: list[float] = []
    t = trainer(corpus, encoder_directory, precision="bfloat16", gradcache=gradcache, tokens_per_forward=64, steps=20)
    before = weights(t)
    t.run(Hooks(log=lambda step, m: losses.append(m["train/loss"])))
    exact: list[float] = []
    trainer(corpus, encoder_directory, steps=20).run(Hooks(log=lambda step, m: exact.append(m["train/loss"])))
    assert (weights(t) - before).abs().max() > 1e-3  # cached casts of weights once swallowed all gradients
    assert losses == pytest.approx(exact, rel=0.2)


def test_a_learned_temperature_is_trained_and_survives_a_checkpoint(
    corpus: Corpus, encoder_directory: Path, tmp_path: Path
) -> None:
    logged: list[float] = []
    t = trainer(corpus, encoder_directory, learn_temperature=True, temperature=0.05)
    t.run(Hooks(log=lambda step, m: logged.append(m["train/temperature"])))
    assert len(set(logged)) == 6 and logged[0] != 0.05
    t.save(tmp_path / "c")
    again = trainer(corpus, encoder_directory, learn_temperature=True, temperature=0.05)
    again.restore(tmp_path / "c")
    assert again.objective.temperature.item() == pytest.approx(logged[-1], abs=1e-9)


def scripted(values: dict[int, float]) -> tuple[list[int], Hooks]:
    """Hooks whose evaluation gives these values, and the steps at which a checkpoint was asked for."""
    saved: list[int] = []
    return saved, Hooks(evaluate=lambda step: {"s/multi/mAP": values[step]}, save=lambda step, m: saved.append(step))


def test_training_stops_when_the_metric_has_not_improved_and_keeps_the_best(
    corpus: Corpus, encoder_directory: Path
) -> None:
    saved, hooks = scripted({2: 0.1, 4: 0.5, 6: 0.5, 8: 0.4, 10: 0.9})
    t = trainer(
        corpus, encoder_directory, steps=20, evaluate_every=2, select="s/multi/mAP", patience=2, checkpoint_every=100,
        keep_checkpoints=1,
    )  # fmt: skip
    t.run(hooks)
    assert (t.done, t.selection.best_step, t.selection.best_value) == (8, 4, 0.5)
    assert saved == [2, 4, 8]


def test_an_evaluation_among_the_best_that_are_kept_is_saved(corpus: Corpus, encoder_directory: Path) -> None:
    saved, hooks = scripted({1: 0.5, 2: 0.9, 3: 0.8, 4: 0.85, 5: 0.7, 6: float("nan")})
    t = trainer(
        corpus, encoder_directory, evaluate_every=1, select="s/multi/mAP", checkpoint_every=100, keep_checkpoints=2
    )
    t.run(hooks)
    assert saved == [1, 2, 3, 4, 6]  # the last step always is
    assert t.selection.kept == [(2, 0.9), (4, 0.85)]


def test_patience_counts_on_after_a_resume(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    values = {2: 0.5, 4: 0.4, 6: 0.3, 8: 0.2}
    settings = {"steps": 20, "evaluate_every": 2, "select": "s/multi/mAP", "patience": 3, "checkpoint_every": 1}
    first = trainer(corpus, encoder_directory, **settings)
    _, hooks = scripted(values)
    hooks.save = lambda step, m: first.save(tmp_path / str(step))
    first.run(hooks)
    assert first.done == 8
    resumed = trainer(corpus, encoder_directory, **settings)
    resumed.restore(tmp_path / "4")
    resumed.run(scripted(values)[1])
    assert (resumed.done, resumed.selection.best_step) == (8, 2)


def test_patience_counts_evaluations_before_a_first_best_on_after_a_resume(
    corpus: Corpus, encoder_directory: Path, tmp_path: Path
) -> None:
    values = dict.fromkeys((2, 4, 6, 8, 10), float("nan"))
    settings = {"steps": 20, "evaluate_every": 2, "select": "s/multi/mAP", "patience": 3, "checkpoint_every": 4}
    first = trainer(corpus, encoder_directory, **settings)
    _, hooks = scripted(values)
    hooks.save = lambda step, m: first.save(tmp_path / str(step))
    first.run(hooks)
    assert first.done == 6
    resumed = trainer(corpus, encoder_directory, **settings)
    resumed.restore(tmp_path / "4")
    resumed.run(scripted(values)[1])
    assert (resumed.done, resumed.selection.best_step) == (6, None)


@pytest.mark.parametrize("settings", [{"evaluate_every": 2}, {"evaluate_every": 2, "select": "s/multi/mAP"}])
def test_evaluations_that_nobody_can_make_are_refused(
    corpus: Corpus, encoder_directory: Path, settings: dict[str, object]
) -> None:
    t = trainer(corpus, encoder_directory, **settings)
    with pytest.raises(RequestError, match=r"train\.evaluate_every=2 .* need an `evaluate` hook"):
        t.run(Hooks())
    assert t.done == 0


def test_an_unknown_metric_is_refused_with_the_nearest(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory, evaluate_every=1, select="s/multi/mAp")
    with pytest.raises(RequestError, match=r"train\.select='s/multi/mAp' is not measured; did you mean 's/multi/mAP'"):
        t.run(scripted({1: 0.5})[1])


def test_the_cosine_schedule_falls_slowly_then_fast_then_slowly(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory, steps=100, warmup=0.0, schedule="cosine")
    rates = [t.learning_rate(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-3) and rates[50] == pytest.approx(5e-4)
    assert rates[10] > 0.97e-3 and rates[90] < 0.03e-3
