"""Averages, intervals and tests from per-query scores. The unit is the question with all its translations.

The same question in several languages is one cluster: resampling rows would treat translations as independent evidence
and make intervals too narrow. Arms are compared on the same resamples (paired), suites and domains are independent strata,
training seeds are a level of their own.

    sums           per-query table -> sums by cluster and cell
    bootstrap      resampled clusters -> intervals
    seeds          the second level: several trainings of one arm
    randomisation  p-values of paired differences
    families       what p-values are corrected together; equivalence within a margin
    worst          worst language, domain and suite, mean of the worst quarter
"""

from hybrid_core.stats.bootstrap import ClusterBootstrap, Estimate, Replicates, interval
from hybrid_core.stats.families import equivalent, holm
from hybrid_core.stats.randomisation import sign_flip_p
from hybrid_core.stats.seeds import over_seeds, seed_multipliers
from hybrid_core.stats.sums import ScoreTable, Sums, cell_means, sums

__all__ = [
    "ClusterBootstrap", "Estimate", "Replicates", "ScoreTable", "Sums", "cell_means", "equivalent", "holm", "interval",
    "over_seeds", "seed_multipliers", "sign_flip_p", "sums",
]  # fmt: skip
