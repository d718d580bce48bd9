"""What a request for robustness must fulfil, checked before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_core.config import EvaluateConfig
from hybrid_core.data.languages import check_language
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError, nearest


def check_robustness(config: EvaluateConfig, suites: Sequence[Suite]) -> None:
    """Refuse variants that are named twice or miss what they need, and seen languages that are none or not there.

    Args:
        config: the request.
        suites: its suites.

    Raises:
        RequestError: names the field, the value and the remedy.
    """
    for field in ("perturbations", "distractors", "seen_languages"):
        values = getattr(config, field)
        if len(set(values)) < len(values):
            raise RequestError(f"evaluate.{field}={','.join(map(str, values))} must name each once")
    switches = "code_switching" in config.perturbations
    if switches and not config.lexicon:
        raise RequestError(
            "evaluate.perturbations: code_switching needs evaluate.lexicon: a file of JSON lines, or `corpus` to derive one "
            "from data.corpus"
        )
    if config.lexicon and not switches:
        raise RequestError(
            f"evaluate.lexicon={config.lexicon!r} is for code_switching, which evaluate.perturbations does not name"
        )
    _check_seen(config.seen_languages, suites)


def _check_seen(seen: Sequence[str], suites: Sequence[Suite]) -> None:
    there = {language for suite in suites for language in (*suite.queries.languages, *suite.passages.languages)}
    for language in seen:
        check_language(language, "evaluate.seen_languages")
        if language not in there:
            raise RequestError(
                f"evaluate.seen_languages: no suite of the request has {language!r}; leave it out{nearest(language, there)}"
            )
