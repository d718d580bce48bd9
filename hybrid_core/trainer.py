"""One training loop for any number of processes: plain Python, torchrun and Ray Train all run this.

    plan.step(k) -> this rank's slice -> tokens -> embeddings -> loss over all ranks' passages -> one all-reduce -> AdamW

Nothing depends on the world size: the plan fixes the global batch, the loss sees all passages, gradients are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hybrid_core import checkpoint, gradcache
from hybrid_core.config import TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.distributed import average_gradients, check_agreement, gather, mean_over_ranks, rank, world_size
from hybrid_core.loss import info_nce
from hybrid_core.model import Encoder
from hybrid_core.plan import BatchPlan, StepPlan

Metrics = dict[str, float]


@dataclass
class Hooks:
    """What the loop tells its caller. Every rank calls every hook at the same steps."""

    log: Callable[[int, Metrics], None] = lambda step, metrics: None
    """After every `log_every` steps and the last: steps done, metrics since the previous call."""
    save: Callable[[int, Metrics], None] = lambda step, metrics: None
    """After every `checkpoint_every` steps and the last: time to write a checkpoint."""
    evaluate: Callable[[int], Metrics] | None = None
    """After every `evaluate_every` steps and the last: returns metrics to be logged."""


class Trainer:
    """Optimiser, schedule and the step."""

    def __init__(self, encoder: Encoder, corpus: Corpus, plan: BatchPlan, config: TrainConfig) -> None:
        self.encoder, self.corpus, self.plan, self.config = encoder, corpus, plan, config
        self.device = next(encoder.parameters()).device
        self.parameters = [p for _, p in sorted(encoder.named_parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=config.learning_rate)
        self.done = 0

    def run(self, hooks: Hooks) -> None:
        """Train from `self.done` to `config.steps`.

        Raises:
            RuntimeError: loss or gradient is not finite on some rank, or ranks planned different batches.
        """
        self.encoder.train()
        losses: list[tuple[StepPlan, float]] = []
        c = self.config
        while self.done < c.steps:
            planned = self.plan.step(self.done)
            if self.done % c.log_every == 0:
                check_agreement(self.done, planned.digest, self.device)
            losses.append((planned, self.step(planned)))
            self.done += 1
            last = self.done == c.steps
            metrics: Metrics = {}
            if hooks.evaluate and c.evaluate_every and (last or self.done % c.evaluate_every == 0):
                metrics |= hooks.evaluate(self.done)
                self.encoder.train()
            if last or self.done % c.log_every == 0 or metrics:
                metrics |= _loss_metrics(losses) | {"train/learning_rate": self.learning_rate(self.done - 1)}
                losses = []
                hooks.log(self.done, metrics)
            if last or self.done % c.checkpoint_every == 0:
                hooks.save(self.done, metrics)

    def step(self, planned: StepPlan) -> float:
        """One optimiser step on one global batch; returns the loss over the whole batch."""
        mine = planned.slice_for(rank(), world_size())
        queries = self.encoder.tokenize(self.corpus.column("query", planned.query_rows[mine]), "query")
        passages = self.encoder.tokenize(self.corpus.column("passage", planned.passage_rows[mine]), "passage")
        groups = torch.tensor(self.corpus.column("group", planned.passage_rows), device=self.device)
        positive = torch.arange(mine.start, mine.stop, device=self.device)

        def loss_of(q: Tensor, p: Tensor) -> Tensor:
            return info_nce(
                q,
                gather(p),
                positive=positive,
                query_groups=groups[mine],
                passage_groups=groups,
                temperature=self.config.temperature,
            )

        self.optimizer.zero_grad(set_to_none=True)
        if self.config.micro_batch:
            loss = gradcache.step(self._embed, (queries, passages), loss_of, self.config.micro_batch)
        else:
            loss = loss_of(self._embed(queries), self._embed(passages))
            loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.parameters)
        return self._update(planned.step, loss.detach())

    def _embed(self, token_ids: list[list[int]]) -> Tensor:
        ids, mask = self.encoder.pad(token_ids)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            embeddings: Tensor = self.encoder(ids, mask)
        return embeddings

    def _update(self, step: int, loss: Tensor) -> float:
        value = mean_over_ranks(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf)
        if not math.isfinite(value) or not math.isfinite(float(norm)):
            raise RuntimeError(
                f"step {step}: loss {value}, gradient norm {float(norm)}: not finite on some rank; lower train.learning_rate or "
                f"train.temperature, or set train.precision=float32. Texts of this step: replay plan {self.plan.hash}"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        return value

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over `warmup * steps` steps, then linear to zero (or constant)."""
        c = self.config
        warmup = round(c.warmup * c.steps)
        if step < warmup:
            return c.learning_rate * (step + 1) / warmup
        if c.schedule == "constant":
            return c.learning_rate
        return c.learning_rate * (c.steps - step) / max(1, c.steps - warmup)

    def save(self, directory: Path) -> None:
        """Write a checkpoint of the current state (call on one rank)."""
        checkpoint.save(directory, self.encoder, self.optimizer, step=self.done, plan_hash=self.plan.hash)

    def restore(self, directory: Path) -> None:
        """Continue from a checkpoint, at any number of workers."""
        self.done = checkpoint.load(directory, self.encoder, self.optimizer, plan_hash=self.plan.hash)

    def _parameter_groups(self) -> list[dict[str, object]]:
        decayed = [p for p in self.parameters if p.ndim > 1]
        plain = [p for p in self.parameters if p.ndim <= 1]
        return [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _loss_metrics(losses: list[tuple[StepPlan, float]]) -> Metrics:
    metrics = {"train/loss": sum(v for _, v in losses) / len(losses)}
    for mode in {planned.mode for planned, _ in losses}:
        values = [v for planned, v in losses if planned.mode == mode]
        metrics[f"train/loss_{mode}"] = sum(values) / len(values)
    return metrics
