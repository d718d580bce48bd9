"""From the embeddings of a step to its loss: temperature, Matryoshka dimensions, choice of loss and negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hybrid_core.batch import EMPTY, Batch
from hybrid_core.config import TrainConfig
from hybrid_core.errors import RequestError
from hybrid_core.loss import distillation, info_nce

_WARMEST, _COLDEST = 10.0, 1e-3
_SCORES_AT_ONCE = 2**21
"""Similarities of queries with passages that are held at a time: 8 MiB in float32, a handful of times."""


class Objective(nn.Module):
    """The loss of one rank's queries against the passages of all ranks."""

    def __init__(self, config: TrainConfig, dimension: int) -> None:
        """Check the Matryoshka dimensions against the embedding's.

        Raises:
            RequestError: one of them is larger.
        """
        super().__init__()
        self.config = config
        self.dimensions = sorted({dimension, *config.matryoshka})
        if self.dimensions[-1] > dimension:
            raise RequestError(
                f"train.matryoshka={self.dimensions[-1]}: the embedding has {dimension} numbers; choose fewer"
            )
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(config.temperature)), requires_grad=config.learn_temperature
        )

    @property
    def temperature(self) -> Tensor:
        """What cosines are divided by: fixed, or learned within [0.001, 10]."""
        return self.log_temperature.exp().clamp(_COLDEST, _WARMEST)

    def forward(self, queries: Tensor, passages: Tensor, batch: Batch, first: int, loss: str, negatives: str) -> Tensor:
        """Sum of the losses of this rank's queries over the size of the global batch.

        Args:
            queries: unit embeddings of this rank's queries [b, d].
            passages: unit embeddings of all ranks' passages [B * slots, d].
            batch: what they are.
            first: place of this rank's first query in the global batch.
            loss: `info_nce`, `distillation` or `info_nce_and_distillation`.
            negatives: `batch` or `own`.
        """
        rows = max(1, _SCORES_AT_ONCE // len(passages))
        if len(queries) <= rows:
            total = self._summed(queries, passages, batch, first, 0, loss, negatives)
        else:  # a query's loss needs no other query: memory that does not grow with b times B
            parts = [
                checkpoint(
                    self._summed, part, passages, batch, first, start, loss, negatives,
                    use_reentrant=False, preserve_rng_state=False,
                )
                for start, part in zip(range(0, len(queries), rows), torch.split(queries, rows), strict=True)
            ]  # fmt: skip
            total = torch.stack(parts).sum()
        return total / (len(self.dimensions) * len(batch.query_groups))

    def _summed(
        self, queries: Tensor, passages: Tensor, batch: Batch, first: int, start: int, loss: str, negatives: str
    ) -> Tensor:
        """Sum of the losses of consecutive queries of this rank, from its query number `start` on."""
        masks = _masks(batch, first + start, len(queries), own_only=negatives == "own", device=queries.device)
        total = queries.new_zeros((), dtype=torch.float32)
        for dimension in self.dimensions:
            q, p = (nn.functional.normalize(x.float()[:, :dimension], dim=-1) for x in (queries, passages))
            logits = q @ p.T / self.temperature
            if loss != "distillation":
                total = total + info_nce(logits, *masks).sum()
            if loss != "info_nce":
                total = total + self._distilled(logits, batch, first, start).sum()
        return total

    def _distilled(self, logits: Tensor, batch: Batch, first: int, start: int) -> Tensor:
        rows = torch.arange(len(logits), device=logits.device)
        own = (first + start + rows)[:, None] * batch.slots + torch.arange(batch.slots, device=logits.device)
        teacher = torch.from_numpy(batch.teacher[start : start + len(logits)]).to(logits.device)
        return distillation(logits.gather(1, own), teacher, self.config.teacher_temperature or self.config.temperature)


def _masks(batch: Batch, first: int, count: int, *, own_only: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """(positive, excluded), both [count, B * slots]."""
    groups = torch.from_numpy(batch.passage_groups.reshape(-1)).to(device)
    mine = torch.from_numpy(batch.query_groups[first : first + count]).to(device)
    example = torch.arange(len(groups), device=device) // batch.slots
    own = example[None, :] == torch.arange(first, first + count, device=device)[:, None]
    positive = own & torch.from_numpy(batch.positive.reshape(-1)).to(device)[None, :]
    excluded = (groups[None, :] == mine[:, None]) | (groups == EMPTY)[None, :]
    return positive, excluded | ~own if own_only else excluded
