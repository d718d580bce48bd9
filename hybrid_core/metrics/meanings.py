"""Which passages of a suite say the same: the unit that samples and folds must not tear apart."""

from __future__ import annotations

import numpy as np

from hybrid_core.data.suites import Suite


def meaning_groups(suite: Suite) -> np.ndarray:
    """Group number of each passage [passages]; translations of one text share it as far as the suite knows of them.

    Two passages belong together if they carry the same meaning id or answer the same question (in any of its languages),
    directly or through others. A passage that nothing is known of is a group of its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    passages = len(suite.passages)
    known = np.array([bool(meaning) for meaning in suite.passages.meaning_ids], dtype=bool)
    _, said = np.unique(np.array(suite.passages.meaning_ids, dtype=str), return_inverse=True)
    questions = [f"m{meaning}" if meaning else f"q{row}" for row, meaning in enumerate(suite.queries.meaning_ids)]
    _, asked = np.unique(np.array(questions, dtype=str), return_inverse=True)
    question = np.repeat(asked, [len(rows) for rows in suite.relevant])
    answer = np.concatenate([np.empty(0, np.int64), *suite.relevant])
    # Nodes: passages, then meanings of passages, then questions. Ids of the two sides may coincide without being related.
    first_question = passages + int(said.max(initial=-1)) + 1
    left = np.concatenate([np.flatnonzero(known), answer])
    right = np.concatenate([passages + said[known], first_question + question])
    nodes = first_question + int(asked.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(nodes, nodes))
    groups = connected_components(graph, directed=False)[1][:passages]
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)
