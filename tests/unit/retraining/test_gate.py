"""The gate, by a table and by laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import GateRule
from shared.retraining.gate import judge, recorded

BOUNDED = GateRule(metric="alert_rate", minimum=0.1, maximum=0.5)
COMPARED = GateRule(metric="recall", max_drop=0.25, max_rise=0.25)
REFERENCE = GateRule(metric="reference_recall", maximum=0.9, max_drop=0.2, needs_champion=True)
MISSING: list[object] = [None, math.nan, math.inf, -math.inf, "0.3", True, [0.3]]

numbers = st.floats(-10, 10)
bounds = st.none() | numbers
margins = st.none() | st.floats(0, 10)
rules = st.builds(
    GateRule,
    metric=st.sampled_from("abc"),
    minimum=bounds,
    maximum=bounds,
    max_drop=margins,
    max_rise=margins,
    needs_champion=st.booleans(),
)
metrics = st.dictionaries(st.sampled_from("abc"), numbers | st.sampled_from([math.nan, math.inf, None, "x"]))


@pytest.mark.parametrize(
    ("value", "promote", "words"),
    [
        (0.1, True, "within its bounds"),
        (0.5, True, "within its bounds"),
        (0.3, True, "within its bounds"),
        (0.0999, False, "below 0.1"),
        (0.5001, False, "above 0.5"),
        (0, False, "below 0.1"),
    ],
)
def test_bounds_include_their_ends(value: float, promote: bool, words: str) -> None:
    verdict = judge({"alert_rate": value}, None, [BOUNDED])

    assert verdict.promote is promote
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(
    ("challenger", "champion", "promote", "words"),
    [
        (0.5, 0.5, True, "against the champion's 0.5"),  # a tie: the newer data wins
        (0.25, 0.5, True, "against the champion's"),
        (0.75, 0.5, True, "against the champion's"),
        (0.24, 0.5, False, "more than 0.25 below the champion's 0.5"),
        (0.76, 0.5, False, "more than 0.25 above the champion's 0.5"),
    ],
)
def test_the_champion_is_compared_with(challenger: float, champion: float, promote: bool, words: str) -> None:
    verdict = judge({"recall": challenger}, {"recall": champion}, [COMPARED])

    assert verdict.promote is promote
    assert words in verdict.reasons[0]


@pytest.mark.parametrize("champion", [None, {}, *({"recall": value} for value in MISSING)])
def test_a_champion_that_is_not_there_or_not_measured_stops_nobody(champion: Mapping[str, Any] | None) -> None:
    verdict = judge({"recall": 0.5}, champion, [COMPARED])

    assert verdict.promote
    assert "champion" in verdict.reasons[0]


@pytest.mark.parametrize("value", MISSING)
@pytest.mark.parametrize("rule", [BOUNDED, COMPARED, GateRule(metric="loss")])
def test_a_metric_that_is_missing_or_not_finite_fails_whatever_the_rule(rule: GateRule, value: object) -> None:
    for challenger in ({}, {rule.metric: value}):
        verdict = judge(challenger, {rule.metric: 0.5}, [rule])

        assert not verdict.promote
        assert verdict.reasons == (f"{rule.metric} could not be measured",)


@pytest.mark.parametrize(
    ("challenger", "champion", "promote", "words"),
    [
        ({}, None, True, "needs a champion, and there is none"),
        ({"reference_recall": 0.95}, None, True, "needs a champion"),  # whatever it is, nobody asked for it
        ({}, {}, True, "could not be measured, the champion's neither"),
        ({"reference_recall": 0.95}, {}, False, "above 0.9"),  # a champion that cannot be measured: the bounds hold
        ({"reference_recall": 0.5}, {}, True, "the champion's is not known"),
        ({"reference_recall": math.nan}, {"reference_recall": 0.5}, False, "could not be measured"),
        ({"reference_recall": 0.5}, {"reference_recall": 0.5}, True, "against the champion's"),
        ({"reference_recall": 0.35}, {"reference_recall": 0.55}, True, "against the champion's"),  # met exactly
        ({"reference_recall": 0.349}, {"reference_recall": 0.55}, False, "more than 0.2 below the champion's 0.55"),
    ],
)
def test_a_rule_that_needs_a_champion(
    challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, promote: bool, words: str
) -> None:
    verdict = judge(challenger, champion, [REFERENCE])

    assert verdict.promote is promote
    assert words in verdict.reasons[0]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_margin_that_is_met_exactly_is_met(value: int, margin: int) -> None:
    rule = GateRule(metric="a", max_drop=margin / 1000, max_rise=margin / 1000)
    for other in (value + margin, value - margin):
        assert judge({"a": value / 1000}, {"a": other / 1000}, [rule]).promote
    assert not judge({"a": value / 1000}, {"a": (value + margin + 1) / 1000}, [rule]).promote


def test_a_verdict_that_was_overruled_is_recorded_as_it_was() -> None:
    said = judge({"alert_rate": 0.9}, None, [BOUNDED])
    asked = {"force": True, "reason": "the new meters read in litres", "by": "ana@example.org", "contamination": 0.1}

    assert recorded(said, {}) == said.as_dict()
    assert recorded(said, asked) == said.as_dict() | {
        "forced": True,
        "reason": "the new meters read in litres",
        "by": "ana@example.org",
    }
    assert recorded(said, {"force": True}) == said.as_dict() | {"forced": True}
    good = judge({"alert_rate": 0.3}, None, [BOUNDED])
    assert recorded(good, asked) == good.as_dict()


def test_a_contract_without_rules_says_so() -> None:
    assert judge({}, None, []).as_dict() == {"promote": True, "reasons": ["the contract asks for nothing"]}


@given(metrics, st.none() | metrics, st.lists(rules, min_size=1, max_size=4))
def test_every_rule_gives_one_reason_and_one_objection_is_enough(
    challenger: dict[str, Any], champion: dict[str, Any] | None, asked: list[GateRule]
) -> None:
    verdict = judge(challenger, champion, asked)
    alone = [judge(challenger, champion, [rule]) for rule in asked]

    assert verdict.promote == all(each.promote for each in alone)
    assert verdict.reasons == tuple(reason for each in alone for reason in each.reasons)
    for rule, reason in zip(asked, verdict.reasons, strict=True):
        assert reason.startswith(rule.metric)
    if any(not isinstance(challenger.get(rule.metric), float) and not rule.needs_champion for rule in asked):
        assert not verdict.promote


@given(metrics, st.none() | metrics, rules, st.floats(0, 5))
def test_wider_bounds_never_refuse_what_narrower_ones_let_through(
    challenger: dict[str, Any], champion: dict[str, Any] | None, rule: GateRule, more: float
) -> None:
    changes = {
        "minimum": None if rule.minimum is None else rule.minimum - more,
        "maximum": None if rule.maximum is None else rule.maximum + more,
        "max_drop": None if rule.max_drop is None else rule.max_drop + more,
        "max_rise": None if rule.max_rise is None else rule.max_rise + more,
    }
    wider = rule.model_copy(update=changes)

    assert judge(challenger, champion, [wider]).promote >= judge(challenger, champion, [rule]).promote
