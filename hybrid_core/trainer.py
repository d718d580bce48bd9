"""One training loop for any number of processes: plain Python, torchrun and Ray Train all run this.

    plan.step(k) -> this rank's slice -> tokens -> embeddings -> loss over all ranks' passages -> one all-reduce -> AdamW

Nothing depends on the world size: the plan fixes the global batch, the loss sees all passages, gradients are added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hybrid_core import checkpoint
from hybrid_core.batch import read_batch
from hybrid_core.config import TrainConfig
from hybrid_core.data.sources import Sources
from hybrid_core.distributed import (
    check_agreement,
    from_rank_zero,
    gather,
    rank,
    sum_gradients,
    sum_over_ranks,
    world_size,
)
from hybrid_core.encode import token_batches
from hybrid_core.errors import RequestError, TrainingStoppedError
from hybrid_core.finiteness import Evidence
from hybrid_core.gradcache import cached_step, plain_step
from hybrid_core.loss_curve import SinceLog
from hybrid_core.model import Encoder
from hybrid_core.objective import Objective
from hybrid_core.plan import BatchPlan, StepPlan
from hybrid_core.selection import Selection
from hybrid_core.token_gradient import TokenGradient

Metrics = dict[str, float]
_TOKENS_PER_FORWARD = {False: 1024, True: 65_536}
"""A CPU is fastest while activations stay in its caches, a GPU when it has much to do at once."""


@dataclass
class Hooks:
    """What the loop tells its caller. Every rank calls every hook at the same steps."""

    log: Callable[[int, Metrics], None] = lambda step, metrics: None
    """After every `log_every` steps and the last: steps done, metrics since the previous call."""
    save: Callable[[int, Metrics], None] = lambda step, metrics: None
    """After every `checkpoint_every` steps, the last, and an evaluation among the `keep_checkpoints` best: write a checkpoint."""
    evaluate: Callable[[int], Metrics] | None = None
    """After every `evaluate_every` steps and the last: returns metrics to be logged. Needed where the config evaluates."""


class Trainer:
    """Optimiser, schedule and the step."""

    def __init__(self, encoder: Encoder, sources: Sources, plan: BatchPlan, config: TrainConfig) -> None:
        """Take the weights of `encoder` as they are; `restore` or `resume` goes on from a checkpoint.

        Raises:
            RequestError: more ranks than examples in a batch, or Matryoshka dimensions that the embedding does not have.
        """
        if world_size() > config.global_batch:
            raise RequestError(
                f"train.global_batch={config.global_batch} is less than the {world_size()} ranks: some would have nothing to do; "
                "start fewer, or raise it"
            )
        self.encoder, self.sources, self.plan, self.config = encoder, sources, plan, config
        self.device = next(encoder.parameters()).device
        self.objective = Objective(config, encoder.dimension).to(self.device)
        self.module = nn.ModuleDict({"encoder": encoder, "objective": self.objective})
        self.parameters = [p for _, p in sorted(self.module.named_parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, eps=config.epsilon, fused=True
        )
        self.selection = Selection(config.select, config.patience, config.keep_checkpoints)
        self.done = 0
        self._since, self._evidence = SinceLog(), Evidence()
        self.token_gradient = TokenGradient(encoder.backbone.get_input_embeddings())
        if config.gradient_checkpointing:
            encoder.recompute_activations()

    def run(self, hooks: Hooks) -> None:
        """Train from `self.done` to `config.steps`, or until `config.select` has not improved for `config.patience` evaluations.

        Raises:
            RequestError: the config evaluates or selects, and there is no `evaluate` hook that could.
            TrainingStoppedError: loss or gradient is not finite on some rank, or ranks planned different batches.
        """
        _check_evaluated(self.config, hooks)
        self.encoder.train()
        self._since.start()
        c = self.config
        while self.done < c.steps and not self.selection.exhausted:
            planned = self.plan.step(self.done)
            if self.done % c.agree_every == 0:
                check_agreement(self.done, planned.digest, self.device)
            self._since.add(planned.mode, self.step(planned))
            self.done += 1
            with self._since.stopped():
                metrics, kept = self._evaluated(hooks)
            last = self.done == c.steps or self.selection.exhausted
            if last or self.done % c.log_every == 0 or metrics:
                metrics |= self._since.metrics() | self._state_metrics()
                self._since = SinceLog()
                hooks.log(self.done, metrics)
            if last or kept or self.done % c.checkpoint_every == 0:
                hooks.save(self.done, metrics)

    def _state_metrics(self) -> Metrics:
        metrics = {"train/learning_rate": self.learning_rate(self.done - 1)}
        if self.config.learn_temperature:
            metrics["train/temperature"] = self.objective.temperature.item()
        return metrics

    def _evaluated(self, hooks: Hooks) -> tuple[Metrics, bool]:
        """Metrics of an evaluation, if one is due, and whether they are among the best so far."""
        c = self.config
        if not (hooks.evaluate and c.evaluate_every and (self.done == c.steps or self.done % c.evaluate_every == 0)):
            return {}, False
        metrics = from_rank_zero(hooks.evaluate(self.done), self.device)
        self.encoder.train()
        return metrics, self.selection.see(self.done, metrics)

    def step(self, planned: StepPlan) -> float:
        """One optimiser step on one global batch; returns the loss over the whole batch."""
        source, mine = self.sources[planned.corpus], planned.slice_for(rank(), world_size())
        batch = read_batch(source.corpus, planned, self.plan.config_of(planned.corpus), mine, seed=self.plan.seed)
        texts = self.encoder.tokenize(batch.queries, "query", source.config.query_prefix)
        texts += self.encoder.tokenize(batch.passages, "passage", source.config.passage_prefix)
        slices = [planned.slice_for(r, world_size()) for r in range(world_size())]
        sizes = [(part.stop - part.start) * batch.slots for part in slices]
        loss_name = source.config.loss or self.config.loss
        negatives = source.config.negatives or self.config.negatives

        def loss_of(embeddings: Tensor) -> Tensor:
            self._evidence.see_embeddings(embeddings)
            queries, passages = embeddings[: len(batch.queries)], gather(embeddings[len(batch.queries) :], sizes)
            self._evidence.see_gradient_of(passages)
            loss: Tensor = self.objective(queries, passages, batch, mine.start, loss_name, negatives)
            return loss

        self.optimizer.zero_grad(set_to_none=True)
        pieces = token_batches([len(ids) for ids in texts], self.tokens_per_forward)
        run = cached_step if self.config.gradcache else plain_step
        loss = run(self._embed, texts, pieces, loss_of, self._autocast)
        self.token_gradient.join()
        self._evidence.gradients = sum_gradients(self.parameters)
        return self._update(planned.step, loss)

    @property
    def tokens_per_forward(self) -> int:
        """Token budget of a forward pass: as configured, or what suits the device (benchmarks/)."""
        return self.config.tokens_per_forward or _TOKENS_PER_FORWARD[self.device.type == "cuda"]

    def _embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        self.token_gradient.fold()  # with GradCache the piece before this one has been through its backward pass
        embeddings: Tensor = self.encoder(*self.encoder.pad(token_ids))
        return embeddings

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _update(self, step: int, loss: Tensor) -> float:
        value = sum_over_ranks(loss)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not math.isfinite(value) or not math.isfinite(float(norm)):
            raise TrainingStoppedError(
                f"step {step}: loss {value}, gradient norm {float(norm)}: not finite on "
                f"{self._evidence.origin(self.module.parameters(), loss)}; lower "
                f"train.learning_rate or train.temperature, or set train.precision=float32. See the texts with: "
                f"python -m ray_jobs.replay --step {step} (plan {self.plan.hash})"
            )
        self._evidence = Evidence()  # lets go of this rank's own gradients
        if self.config.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        return value

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over `warmup * steps` steps, then linear or cosine to zero, or constant."""
        c = self.config
        warmup = round(c.warmup * c.steps)
        if step < warmup:
            return c.learning_rate * (step + 1) / warmup
        left = (c.steps - step) / max(1, c.steps - warmup)
        if c.schedule == "cosine":
            left = (1 - math.cos(math.pi * left)) / 2
        return c.learning_rate * (1.0 if c.schedule == "constant" else left)

    def save(self, directory: Path) -> None:
        """Write a checkpoint of the current state (call on one rank). One that is there is lost only to a whole new one."""
        state = {"step": self.done, "plan_hash": self.plan.hash, "selection": self.selection.state()}
        checkpoint.save(directory, self.module, self.optimizer, state | {"since_log": self._since.state()})

    def restore(self, directory: Path) -> None:
        """Continue from a checkpoint, at any number of workers.

        Raises:
            RequestError: it is damaged or cut short; nothing was changed.
        """
        state = checkpoint.load(directory, self.module, self.optimizer, plan_hash=self.plan.hash)
        self.done = state["step"]
        self.selection.restore(state["selection"])
        self._since = SinceLog(state["since_log"])

    def resume(self, directory: Path) -> bool:
        """Continue from what `save` has written to `directory`, if it has; whether it had (call on every rank)."""
        found = checkpoint.find(directory)
        if found:
            self.restore(found)
        return found is not None

    def _parameter_groups(self) -> list[dict[str, object]]:
        decayed = [p for p in self.parameters if p.ndim > 1]
        plain = [p for p in self.parameters if p.ndim <= 1]
        return [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _check_evaluated(config: TrainConfig, hooks: Hooks) -> None:
    if hooks.evaluate is None and (config.select or config.evaluate_every):
        raise RequestError(
            f"train.evaluate_every={config.evaluate_every} and train.select={config.select!r} need an `evaluate` hook, and there is none; "
            "give Hooks(evaluate=hybrid_core.validation.Validator(...)) or remove these settings"
        )
