"""InfoNCE with in-batch negatives (arXiv 2408.10536, section 2), in float32, with false negatives masked out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def info_nce(
    queries: Tensor,
    passages: Tensor,
    *,
    positive: Tensor,
    query_groups: Tensor,
    passage_groups: Tensor,
    temperature: float,
) -> Tensor:
    """Mean over queries of -log softmax(cos(q, p) / temperature) at the query's own passage.

    A passage of the query's group (a translation or a duplicate of its positive) is not a negative and leaves the softmax.

    Args:
        queries: unit vectors [b, d] of this rank.
        passages: unit vectors [B, d] of all ranks.
        positive: for each query the row of its own passage [b].
        query_groups: group of each query [b].
        passage_groups: group of each passage [B].
        temperature: divides the cosines.
    """
    logits = queries.float() @ passages.float().T / temperature
    same_group = query_groups[:, None] == passage_groups[None, :]
    own = torch.zeros_like(same_group)
    own[torch.arange(len(queries), device=own.device), positive] = True
    logits = logits.masked_fill(same_group & ~own, float("-inf"))
    return nn.functional.cross_entropy(logits, positive)
