"""Expressions: what is written is worked out as arithmetic has it, and what is no expression says where and why."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.expressions import ExpressionError, parse

_NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


@st.composite
def _trees(draw: st.DrawFn, depth: int = 0) -> tuple[str, str]:
    """An expression of a and b, as it is written with blanks strewn in, and with every parenthesis that there could be
    (Python's own arithmetic is the measure)."""
    kind = draw(
        st.sampled_from(["number", "column", "column", "minus", "two", "two", "inside"] if depth < 4 else ["column"])
    )
    blank = draw(st.sampled_from(["", " ", "  "]))
    if kind == "number":
        number = str(draw(st.sampled_from(["2", "0.5", ".25", "3.", "1e3", "2.5E-1"])))
        return blank + number, f"np.float64({number})"
    if kind == "column":
        name = draw(st.sampled_from("ab"))
        return name + blank, f"{name}"
    left = draw(_trees(depth + 1))
    if kind == "minus":
        return f"-({left[0]})", f"(-({left[1]}))"
    if kind == "inside":
        return f"({left[0]})", left[1]
    right, operator = draw(_trees(depth + 1)), draw(st.sampled_from("+-*/"))
    return f"({left[0]}){blank}{operator}({right[0]})", f"(({left[1]}){operator}({right[1]}))"


@given(_trees(), _NUMBERS, _NUMBERS)
def test_it_is_worked_out_as_arithmetic_has_it(tree: tuple[str, str], a: float, b: float) -> None:
    written, meant = tree
    with np.errstate(all="ignore"):
        expected = float(eval(meant, {"np": np, "a": np.float64(a), "b": np.float64(b)}))
    (found,) = parse(written).of({"a": np.array([a]), "b": np.array([b])})

    assert (math.isnan(found) and not math.isfinite(expected)) or found == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 / 4 / 2", 1),
        ("8 - 4 - 2", 2),
        ("-2 * -3", 6),
        ("--2", 2),
        ("2 - -a", 12),
        ("`a column, in full` * 2", 6),
    ],
)
def test_precedence_and_signs(text: str, value: float) -> None:
    columns = {"a": np.array([10.0]), "a column, in full": np.array([3.0])}

    assert parse(text).of(columns).tolist() == [value]


def test_names_and_times_are_known_beforehand() -> None:
    found = parse("hour(date) / width + width - month(`last seen`)")

    assert found.names == ("date", "width", "last seen")
    assert found.times == {"date", "last seen"}


@given(st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2200-01-01")))
def test_parts_of_a_time_are_those_of_the_calendar(moment: datetime) -> None:
    time = np.array([moment], "datetime64[us]")

    for given_as in (time, time.astype(np.int64), time.astype(np.int64).astype(np.float64)):
        found = [parse(f"{part}(t)").of({"t": given_as})[0] for part in ("month", "day", "weekday", "hour")]
        assert found == [moment.month, moment.day, moment.weekday(), moment.hour]


def test_what_has_no_finite_value_is_missing() -> None:
    a, b = np.array([1.0, 0.0, 1e308, np.nan, 6.0]), np.array([0.0, 0.0, 1e-10, 1.0, 3.0])

    assert np.isnan(parse("a / b").of({"a": a, "b": b})).tolist() == [True, True, True, True, False]
    assert np.isnan(parse("hour(t)").of({"t": np.array(["NaT", "2024-01-01T05"], "datetime64[us]")})).tolist() == [
        True,
        False,
    ]
    assert np.isnan(parse("day(t)").of({"t": np.array([np.nan, 0.0])})).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at character 1 a number, a column or a parenthesis was expected, not the end"),
        ("a +", "at character 4 a number, a column or a parenthesis was expected, not the end"),
        ("a b", "at character 3 an operator (+ - * /) or the end was expected, not 'b'"),
        ("(a", "at character 3 ')' was expected, not the end"),
        ("a)", "at character 2 an operator (+ - * /) or the end was expected, not ')'"),
        ("a ** b", "at character 4 a number, a column or a parenthesis was expected, not '*'"),
        ("a + $", "at character 5 a number, a column or an operator was expected, not '$'"),
        ("year(date)", "at character 1 one of the functions month, day, weekday, hour was expected, not 'year'"),
        ("hour(3)", "at character 6 a column of time was expected, not '3'"),
        ("hour(date, x)", "at character 10 a number, a column or an operator was expected, not ','"),
        ("__import__('os')", 'at character 12 a number, a column or an operator was expected, not "\'"'),
        ("hour(a) + a", "a is used as a time and as a number"),
        ("(" * 60 + "a" + ")" * 60, "parentheses or signs inside one another"),
        ("-" * 500 + "a", "parentheses or signs inside one another"),
        ("+".join(["a"] * 60), "operators in a row"),
        ("a" * 1001, "longer than 1,000 characters"),
    ],
)
def test_what_is_no_expression_says_where_and_why(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)

    assert words in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_says_why_not(text: str) -> None:
    try:
        found = parse(text)
    except ExpressionError as error:
        assert str(error)
    else:
        assert found.text == text
