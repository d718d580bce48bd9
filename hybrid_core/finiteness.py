"""Where numbers stop being finite: names the rank they came from, not the ranks they spread to.

Gathered passages carry a NaN of one rank to all of them, and so do summed gradients. What a rank had of its own before that is
looked at: as a flag that stays on the device, or only once the step is lost. A good step waits for nothing and sends nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from hybrid_core.distributed import ranks_where


class Evidence:
    """What this rank had of its own in the current step."""

    def __init__(self) -> None:
        self._embeddings: Tensor | None = None
        self._loss_gradient: Tensor | None = None
        self.gradients: Sequence[Tensor] = ()
        """Of the parameters, before they are summed over ranks."""

    def see_embeddings(self, own: Tensor) -> None:
        """Take note of this rank's embeddings, before the gather."""
        self._embeddings = _finite(own)

    def see_gradient_of(self, passages: Tensor) -> None:
        """Take note of the gradient this rank's loss gives all passages, before it is summed over ranks."""

        def see(gradient: Tensor) -> None:
            self._loss_gradient = _finite(gradient)

        if passages.requires_grad:
            passages.register_hook(see)  # type: ignore[no-untyped-call]

    def origin(self, weights: Iterable[Tensor], loss: Tensor) -> str:
        """The ranks on which numbers stopped being finite first, and which numbers; the same text on all ranks, which all call this.

        Args:
            weights: parameters the step began with.
            loss: this rank's part of it.
        """
        finite = {
            "weights": all(bool(_finite(w)) for w in weights),
            "embeddings": self._embeddings is None or bool(self._embeddings),
            "loss": bool(_finite(loss)),
            "gradient of the loss": self._loss_gradient is None or bool(self._loss_gradient),
            "gradient": all(bool(_finite(g)) for g in self.gradients),
        }
        for what, holds in finite.items():
            if found := ranks_where(not holds, loss.device):
                return f"rank(s) {found} ({what})"
        return "no rank by itself, but in the sum over ranks (gradient)"


def _finite(values: Tensor) -> Tensor:
    """A flag [] on the device of the values; a sparse gradient is as good as its entries."""
    known = values.detach()
    return torch.isfinite(known.coalesce().values() if known.is_sparse else known).all()
