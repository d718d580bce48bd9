"""The gradient of the token embeddings, made dense once a step instead of once a piece.

Of a multilingual encoder most weights are token embeddings (96 of the 118 million of multilingual-e5-small). Autograd would
fill a dense gradient of the whole vocabulary for every forward pass: 30% of a training step on a CPU.
"""

from __future__ import annotations

import torch
from torch import nn

from hybrid_core.distributed import world_size


class TokenGradient:
    """Collects sparse gradients of an embedding and hands them to the optimiser as the dense one it expects."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self._weight = embedding.weight
        self._dense: torch.Tensor | None = None
        self._touched = torch.empty(0, dtype=torch.long, device=embedding.weight.device)
        embedding.sparse = self.trained = embedding.weight.requires_grad

    def join(self) -> None:
        """Replace the sparse gradient of this step by a dense one, in memory that is kept from step to step."""
        if not self.trained or self._weight.grad is None:
            return
        gradient = self._weight.grad.coalesce()
        if self._dense is None:
            self._dense = torch.zeros_like(self._weight)
        elif world_size() == 1:
            self._dense[self._touched] = 0.0
        else:  # other ranks' tokens were added
            self._dense.zero_()
        self._touched = gradient.indices()[0]
        self._dense[self._touched] = gradient.values()
        self._weight.grad = self._dense
