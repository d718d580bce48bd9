"""GradCache (Gao et al. 2021, arXiv 2101.06983): a contrastive step whose memory does not grow with the batch.

All texts are embedded without a graph; the loss gives the gradient of every embedding; then each micro-batch is embedded
again with a graph and receives its part of that gradient. The result is the gradient of the plain step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Tokens = list[list[int]]


def step(
    embed: Callable[[Tokens], Tensor], columns: Sequence[Tokens], loss_of: Callable[..., Tensor], micro_batch: int
) -> Tensor:
    """Accumulate parameter gradients of `loss_of(*embedded columns)` and return the loss.

    Args:
        embed: maps token ids to embeddings, with a graph when gradients are enabled.
        columns: the texts of each column (queries, passages).
        loss_of: maps one embedding tensor per column to a scalar.
        micro_batch: texts that may hold activations at once.
    """
    with torch.no_grad():
        cached = [torch.cat([embed(c[i : i + micro_batch]) for i in range(0, len(c), micro_batch)]) for c in columns]
    leaves = [c.requires_grad_() for c in cached]
    loss = loss_of(*leaves)
    loss.backward()  # type: ignore[no-untyped-call]
    for column, leaf in zip(columns, leaves, strict=True):
        if leaf.grad is None:
            raise RuntimeError("the loss does not depend on one of the embedding columns")
        for i in range(0, len(column), micro_batch):
            embed(column[i : i + micro_batch]).backward(leaf.grad[i : i + micro_batch])  # type: ignore[no-untyped-call]
    return loss.detach()
