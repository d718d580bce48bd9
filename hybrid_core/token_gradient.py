"""The gradient of the token embeddings, made dense once a step instead of once a piece.

Of a multilingual encoder most weights are token embeddings (96 of the 118 million of multilingual-e5-small). Autograd would
fill a dense gradient of the whole vocabulary for every forward pass: 30% of a training step on a CPU.
"""

from __future__ import annotations

import torch
from torch import nn

HELD_ENTRIES = 16_384
"""Tokens whose gradients may wait in sparse form: 25 MB at 384 numbers each, and still few additions to the dense one."""


class TokenGradient:
    """Collects sparse gradients of an embedding and hands them to the optimiser as the dense one it expects."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self._weight = embedding.weight
        self._dense: torch.Tensor | None = None
        self._touched = torch.empty(0, dtype=torch.bool, device=embedding.weight.device)
        """Rows of the dense gradient that are not zero [vocabulary]."""
        self._begun = False
        embedding.sparse = self.trained = embedding.weight.requires_grad

    def fold(self) -> None:
        """Between two backward passes of a step: add what waits to the dense gradient once it is much.

        Autograd appends the tokens of every pass to the sparse gradient, so it would grow with the tokens of the batch.
        """
        waiting = self._weight.grad
        if waiting is not None and waiting.is_sparse and waiting._nnz() > HELD_ENTRIES:
            self._add(waiting)

    def join(self) -> None:
        """Replace the sparse gradient of this step by a dense one, in memory that is kept from step to step."""
        if self.trained and self._weight.grad is not None:
            self._add(self._weight.grad)
        if self._begun:
            self._weight.grad = self._dense
            self._begun = False

    def _add(self, sparse: torch.Tensor) -> None:
        dense = self._dense if self._begun and self._dense is not None else self._cleared()
        gradient = (
            sparse.coalesce()
        )  # one entry a row: the order of additions, hence the sum, does not depend on chance
        rows = gradient.indices()[0]
        dense.index_add_(0, rows, gradient.values())
        self._touched[rows] = True
        self._weight.grad = None

    def _cleared(self) -> torch.Tensor:
        """The dense gradient without what the last step left in it."""
        if self._dense is None:
            self._dense = torch.zeros_like(self._weight)
            self._touched = self._touched.new_zeros(len(self._weight))
        else:
            self._dense[self._touched] = 0.0  # other ranks' tokens are in a sum of its own memory
        self._touched.zero_()
        self._begun = True
        return self._dense
