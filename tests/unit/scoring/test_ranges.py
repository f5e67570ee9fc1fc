"""The essence of rows stands for the rows, whatever comes before and behind."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.scoring.context import no_rows, row_schema
from shared.scoring.preceding import Preceding
from shared.scoring.ranges import essence, series_of, used

GAS = load_contract("gas").model_copy(update={"context_rows": 3})
_START = datetime.fromisoformat("2026-01-01")
_SERIES = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=40)


def _rows(names: list[str | None], start: int = 0) -> pa.Table:
    """One row an hour, each of the series that is named."""
    rows = [
        {GAS.time: _START + timedelta(hours=start + hour), GAS.value: float(start + hour), GAS.series: name}
        for hour, name in enumerate(names)
    ]
    return pa.Table.from_pylist(rows, schema=row_schema(GAS))


def _everything(before: Preceding) -> tuple[dict[str | None, list[float]], frozenset[str | None]]:
    """What precedes, by series."""
    found: dict[str | None, list[float]] = {}
    for row in before.latest.to_pylist():
        found.setdefault(row[GAS.series], []).append(row[GAS.value])
    return found, before.seen


@given(_SERIES, _SERIES, st.integers(0, 40))
def test_the_essence_of_rows_stands_for_them(history: list[str | None], names: list[str | None], cut: int) -> None:
    before = Preceding.first(_rows(history, start=-len(history)), GAS)
    rows = _rows(names)
    first, second = rows.slice(0, cut), rows.slice(cut)
    by_parts = essence(pa.concat_tables([essence(first, GAS), second]), GAS)

    assert by_parts.to_pylist() == essence(rows, GAS).to_pylist()
    one_by_one = before
    for row in range(rows.num_rows):
        one_by_one = one_by_one.then(rows.slice(row, 1))
    assert _everything(before.then(by_parts)) == _everything(one_by_one)


@given(_SERIES)
def test_the_essence_holds_the_first_row_and_the_last_ones_of_each_series(names: list[str | None]) -> None:
    places = {name: [place for place, each in enumerate(names) if each == name] for name in set(names)}
    expected = {float(place) for own in places.values() for place in own[:1] + own[-3:]}

    found = essence(_rows(names), GAS)

    assert found.column(GAS.value).to_pylist() == sorted(expected)
    assert series_of(found, GAS) == set(names)


def test_only_what_a_part_uses_tells_its_contexts_apart() -> None:
    history = Preceding.first(no_rows(GAS), GAS)
    one, other = history.then(_rows(["a", "b"])), history.then(_rows(["a", "a", "b"]).slice(1))
    moved = history.then(_rows(["b", "a"]).take([1, 0]))

    assert used(one, ["a"], GAS) != used(other, ["a"], GAS)
    assert used(one, ["c"], GAS) == used(other, ["c"], GAS)
    assert used(one, [None], GAS) == used(moved, [None], GAS)
    assert used(history, ["a"], GAS) != used(one, ["a"], GAS)
    assert used(one, [], GAS.model_copy(update={"context_rows": 0})) == ""
