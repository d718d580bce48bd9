"""Forward and backward over texts of many lengths: one pass per length-sorted piece, with or without GradCache.

GradCache (Gao et al. 2021, arXiv 2101.06983) embeds all texts without a graph; the loss gives the gradient of every
embedding; then each piece is embedded again with a graph and receives its part of that gradient. The result is the
gradient of the plain step, and activations of one piece at a time are held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

Tokens = Sequence[Sequence[int]]
Embed = Callable[[Tokens], Tensor]
LossOf = Callable[[Tensor], Tensor]
Autocast = Callable[[], AbstractContextManager[None]]
"""Opens the precision of the forward pass. One context serves all pieces, so that weights are cast once and not per piece."""


def plain_step(
    embed: Embed, texts: Tokens, pieces: Sequence[np.ndarray], loss_of: LossOf, autocast: Autocast
) -> Tensor:
    """Accumulate parameter gradients of `loss_of(embeddings)` and return the loss.

    Args:
        embed: maps token ids to embeddings.
        texts: token ids of all texts.
        pieces: which texts go through `embed` together; every text is in one piece.
        loss_of: maps the embeddings of all texts, in their order, to a scalar.
        autocast: the precision of the forward pass.
    """
    with autocast():
        parts = [embed([texts[i] for i in piece]) for piece in pieces]
    loss = loss_of(_in_order(parts, pieces))
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def cached_step(
    embed: Embed, texts: Tokens, pieces: Sequence[np.ndarray], loss_of: LossOf, autocast: Autocast
) -> Tensor:
    """As `plain_step`, in memory that does not grow with the number of texts."""
    with torch.no_grad(), autocast():
        embeddings = _in_order([embed([texts[i] for i in piece]) for piece in pieces], pieces)
    leaf = embeddings.requires_grad_()
    loss = loss_of(leaf)
    loss.backward()  # type: ignore[no-untyped-call]
    if leaf.grad is None:
        raise RuntimeError("the loss does not depend on the embeddings")
    with autocast():
        for piece in pieces:
            part = embed([texts[i] for i in piece])
            part.backward(leaf.grad[torch.from_numpy(piece).to(leaf.device)])  # type: ignore[no-untyped-call]
    return loss.detach()


def _in_order(parts: Sequence[Tensor], pieces: Sequence[np.ndarray]) -> Tensor:
    joined = torch.cat(list(parts))
    return joined[torch.from_numpy(np.argsort(np.concatenate(pieces))).to(joined.device)]
