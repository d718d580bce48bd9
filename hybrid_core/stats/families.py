"""Claims about many differences at once, and claims that there is none.

**Family.** P-values are corrected together if they answer one question about one metric: all suites, settings and contrasts
of a comparison whose contrasts are of one kind. There are two kinds: model against model (which recipe is better?) and
contrasts with a free baseline (does training beat what costs nothing?). Suites, settings and contrasts belong into one
family because a reader looks through all of them for the ones that stand out. Metrics do not: they read the same rankings,
mAP decides, and correcting for its near-copies would only hide differences. Adding free baselines to a report does not weaken
what it says about models.

The same holds for each of the other questions, which are families of their own: shift effects (over all settings and
contrasts), shift effects by suite, what perturbations cost, whether they cost one model more than another, and differences
in seen and unseen languages. Rows by language or domain are not mixed with those about all queries.

**Equivalence.** "Not significant" is no evidence of sameness. Two arms are called equivalent if two one-sided tests reject
that they differ by the margin or more: the interval of confidence 1 - 2 alpha lies inside (-margin, margin) (Schuirmann
1987). Each such statement errs with probability alpha at most; they are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybrid_core.stats.bootstrap import Replicates


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values corrected by Holm's step-down method (1979): those below alpha keep the family-wise error at alpha.

    The i-th smallest of n is multiplied by n - i + 1, never below the one before it, at most 1. NaN is no test: it stays
    NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def equivalent(difference: Replicates, margin: float | None, confidence: float) -> bool | None:
    """Whether two arms are equivalent at level alpha = 1 - confidence; None if no margin (above 0) is set.

    Args:
        difference: replicates of the difference.
        margin: largest difference that does not matter, in units of the metric.
        confidence: of the comparison's intervals.
    """
    if not margin or np.isnan(difference.value):
        return None
    two_sided = difference.estimate(1.0 - 2.0 * (1.0 - confidence))
    return bool(-margin < two_sided.low and two_sided.high < margin)
