"""Sentences of the report claim what the intervals allow, and nothing more."""

from __future__ import annotations

import copy

import pytest
from report_helpers import a_study

from hybrid_core.comparison import Json, find
from hybrid_core.data.suites import SETTINGS
from hybrid_core.report import statements
from hybrid_core.report.answer import short_answer
from hybrid_core.report.caveats import caveats
from hybrid_core.report.lookup import difference, shift_effect
from hybrid_core.report.style import decimals_for, points, signed_points
from hybrid_core.stats import Estimate

CLAIM = "no difference can be claimed"


@pytest.fixture
def study() -> Json:
    return a_study()


def raw_difference(comparison: Json, statement: statements.Statement, metric: str) -> Json:
    """The stored row of a statement's contrast, turned if it is stored the other way round."""
    labels = {"suite": comparison["in_domain"], "setting": statement.setting, "metric": metric}
    try:
        return find(comparison["differences"], arm=statement.arm, reference=statement.reference, **labels)
    except KeyError:
        row = find(comparison["differences"], arm=statement.reference, reference=statement.arm, **labels)
        return {"value": -row["value"], "low": -row["high"], "high": -row["low"]}


def test_no_difference_is_claimed_exactly_when_the_interval_includes_zero(study: Json) -> None:
    said = statements.retrieval_statements(study)
    bias = statements.bias_statements(study)
    metrics = ["mAP"] * len(said) + [
        "rank_distance_share" if s.text.startswith("Rank") else "same_language_share" for s in bias
    ]
    seen = set()
    for statement, metric in zip([*said, *bias], metrics, strict=True):
        row = raw_difference(study, statement, metric)
        includes_zero = row["low"] <= 0 <= row["high"]
        seen.add(includes_zero)
        assert (CLAIM in statement.text) == includes_zero, statement.text
        assert statement.decided != includes_zero
        if not includes_zero:
            assert (" above " in statement.text) == (row["value"] > 0), statement.text
            assert f"{abs(100 * row['value']):.1f} points" in statement.text
    assert seen == {True, False}
    assert len(said) == len(SETTINGS) * 6, "hybrid against mono and cross, four arms against base"


def test_undecided_statement_does_not_say_there_is_no_difference(study: Json) -> None:
    twin = next(s for s in statements.retrieval_statements(study) if s.arm == "twin")
    assert twin.text.endswith("which does not show that there is none.")
    assert CLAIM not in twin.brief and "0.0 points of mAP" in twin.brief


def test_shift_statements_follow_the_sign_of_the_effect(study: Json) -> None:
    study = copy.deepcopy(study)
    inside = find(
        study["differences"], suite="sample_home", setting="multi", metric="mAP", arm="hybrid", reference="mono"
    )
    effect = find(study["shift_effects"], setting="multi", metric="mAP", arm="hybrid", reference="mono")
    inside.update(value=0.2, low=0.1, high=0.3)
    for (low, high), expected in {(0.01, 0.05): "grows", (-0.05, -0.01): "shrinks", (-0.01, 0.05): CLAIM}.items():
        effect.update(value=(low + high) / 2, low=low, high=high)
        text = next(
            s.text
            for s in statements.shift_statements(study)
            if (s.setting, s.arm, s.reference) == ("multi", "hybrid", "mono")
        )
        assert expected in text
        assert (CLAIM in text) == (low <= 0 <= high)
    inside.update(value=-0.2, low=-0.3, high=-0.1)
    effect.update(value=0.03, low=0.01, high=0.05)
    text = next(
        s.text
        for s in statements.shift_statements(study)
        if (s.setting, s.arm, s.reference) == ("multi", "hybrid", "mono")
    )
    assert "advantage" not in text and "towards hybrid" in text, "no advantage inside can grow"


def test_same_language_share_below_uniform_is_not_called_less_bias(study: Json) -> None:
    study = copy.deepcopy(study)
    labels = {"suite": "sample_home", "setting": "multi", "metric": "same_language_share", "arm": "hybrid"}
    find(study["differences"], **labels, reference="mono").update(value=-0.3, low=-0.4, high=-0.2)
    for share, less in ((0.4, True), (0.1, False)):
        find(study["levels"], **labels).update(value=share)
        text = next(
            s.text for s in statements.bias_statements(study) if s.reference == "mono" and s.text.startswith("Same")
        )
        assert ("less language bias by this measure" in text) == less


def test_caveats_follow_from_the_data(study: Json) -> None:
    text = " ".join(caveats(study))
    for expected in ("One seed (7)", "home 12", "about 5%", "multilingual-e5", "sample corpus", "Suites differ"):
        assert expected in text
    other = copy.deepcopy(study)
    other["run"] |= {"model": "xlm-roberta-base", "seeds": [0, 1, 2]}
    other["questions"] = dict.fromkeys(other["questions"], 1190)
    text = " ".join(caveats(other))
    assert "e5" not in text and "Few questions" not in text and "One seed" not in text and "3 seeds" in text


def test_short_answer_has_three_to_five_sentences_that_agree_with_the_intervals(study: Json) -> None:
    answer = short_answer(study)
    assert 3 <= len(answer) <= 5
    against_cross = next(text for text in answer if text.startswith("Hybrid batches against cross batches"))
    for setting, title in (("mono", "monolingual"), ("cross", "cross-lingual"), ("multi", "multilingual")):
        row = find(
            study["differences"], suite="sample_home", setting=setting, metric="mAP", arm="hybrid", reference="cross"
        )
        assert f"{title} {signed_points(row['value'])} (" in against_cross
    assert (CLAIM in against_cross) == any(
        r["low"] <= 0 <= r["high"]
        for r in study["differences"]
        if (r["suite"], r["metric"], r["arm"], r["reference"]) == ("sample_home", "mAP", "hybrid", "cross")
    )


def test_a_contrast_can_be_read_in_both_directions(study: Json) -> None:
    there = difference(study, "sample_home", "mono", "mAP", "hybrid", "mono")
    back = difference(study, "sample_home", "mono", "mAP", "mono", "hybrid")
    assert there is not None and back == Estimate(-there.value, -there.high, -there.low)
    assert shift_effect(study, "mono", "mAP", "hybrid", "nothing") is None


def test_rounding_never_makes_a_decided_interval_touch_zero() -> None:
    assert decimals_for(Estimate(0.02, 0.0001, 0.04)) == 2
    assert decimals_for(Estimate(0.02, -0.0001, 0.04)) == 1
    assert points(-0.0001) == "0.0" and signed_points(-0.0123) == "−1.2" and signed_points(0.0001) == "0.0"
