"""The two ways a job can fail, and the words an error is made of.

`RequestError`: what was asked for cannot be done (config, data, storage address); exit status 2, nothing was started.
Everything else that is raised while a job runs is a failure of the run; exit status 1. Of these, `TrainingStoppedError` is one
that another attempt would only repeat.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RequestError(ValueError):
    """The request is wrong. The message names the field or file, the value, what is allowed and the remedy."""


class TrainingStoppedError(RuntimeError):
    """Training cannot go on, and from the last checkpoint it would come to the same end. All ranks raise it at the same step."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return a hint such as "; did you mean 'alpha'?" or the list of what is allowed when nothing is near."""
    known = sorted(allowed)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(known) if known else '(none)'}"
