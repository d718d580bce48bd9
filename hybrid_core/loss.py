"""InfoNCE (arXiv 2408.10536, section 2) and distillation in float32, with false negatives masked out.

Both return one value per query. The step's loss is their sum over all ranks divided by the global batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NEVER = -1e9
"""A logit that takes no part in a softmax, and unlike infinity leaves gradients finite when nothing else does."""


def info_nce(logits: Tensor, positive: Tensor, excluded: Tensor) -> Tensor:
    """-log of the share of each positive in the softmax over itself and the negatives, averaged over a query's positives.

    Args:
        logits: cosines of queries with passages over the temperature [b, B].
        positive: passages that answer the query [b, B].
        excluded: passages that are neither positive nor negative, or are positive [b, B]: translations and duplicates
            of the query's passage.

    Returns:
        [b]. With one positive this is the cross-entropy of softmax(logits) without the excluded passages.
    """
    negatives = torch.logsumexp(logits.masked_fill(excluded | positive, _NEVER), dim=1, keepdim=True)
    each = nn.functional.softplus(negatives - logits)
    return (each * positive).sum(1) / positive.sum(1)


def distillation(logits: Tensor, teacher: Tensor, teacher_temperature: float) -> Tensor:
    """KL divergence of the student's softmax over a query's own passages from the teacher's.

    Args:
        logits: the student's cosines over the temperature, for the passages the query brought [b, slots].
        teacher: scores of the same passages; NaN where the teacher gave none [b, slots].
        teacher_temperature: divides the teacher's scores.

    Returns:
        [b]; 0 for a query with fewer than two scored passages.
    """
    scored = teacher.isfinite()
    wanted = nn.functional.log_softmax((teacher / teacher_temperature).masked_fill(~scored, _NEVER), dim=1)
    found = nn.functional.log_softmax(logits.masked_fill(~scored, _NEVER), dim=1)
    divergence = (wanted.exp() * (wanted - found)).masked_fill(~scored, 0.0).sum(1)
    return divergence * (scored.sum(1) > 1)
