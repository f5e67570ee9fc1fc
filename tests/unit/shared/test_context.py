"""Which rows a batch is given as context, of the table itself and of what was known before."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.scoring.context import tail, time_order
from shared.scoring.preceding import Preceding

GAS = load_contract("gas").model_copy(update={"context_rows": 3})
WITHOUT_SERIES = GAS.model_copy(update={"series": None})
FIRST = datetime.fromisoformat("2026-03-02")

_METERS = st.sampled_from([None, "north", "south"])
_ROWS = st.lists(st.tuples(st.integers(0, 40), _METERS), max_size=30)

Row = tuple[int, str | None]


def _table(rows: list[Row]) -> pa.Table:
    """Rows of hour and meter; the value tells them apart."""
    columns: dict[str, Any] = {
        "FechaHora": pa.array([FIRST + timedelta(hours=hour) for hour, _ in rows], pa.timestamp("us")),
        "VolCorrected": pa.array([float(number) for number in range(len(rows))], pa.float64()),
        "Serie": pa.array([meter for _, meter in rows], pa.string()),
    }
    return pa.table(columns)


def _by_series(table: pa.Table) -> dict[str | None, list[tuple[datetime, float]]]:
    found: dict[str | None, list[tuple[datetime, float]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["Serie"], []).append((row["FechaHora"], row["VolCorrected"]))
    return found


def _in_order(rows: list[Row]) -> pa.Table:
    table = _table(rows)
    return table.take(pa.array(time_order(table, GAS)))


@given(known=_ROWS, rows=_ROWS, cuts=st.lists(st.integers(0, 30), max_size=4), mixed=st.randoms())
def test_a_batch_is_given_the_last_rows_of_its_series_and_no_others(
    known: list[Row], rows: list[Row], cuts: list[int], mixed: Any
) -> None:
    # in time order within each series, and the series in turns
    turns = sorted(rows, key=lambda row: (row[0], mixed.random()))
    history, table = _in_order(known), _table(turns)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    before = Preceding.first(history, GAS)

    for start, stop in pairwise(bounds):
        batch = table.slice(start, stop - start)
        context = _by_series(before.context(batch))
        before = before.then(batch)

        earlier, whole = _by_series(table.slice(0, start)), _by_series(table)
        for meter in _by_series(batch):
            opening = [row for row in _by_series(history).get(meter, []) if row[0] < whole[meter][0][0]]
            assert context.get(meter, []) == [*opening, *earlier.get(meter, [])][-3:]
        assert set(context) <= set(_by_series(batch))


@given(rows=_ROWS)
def test_a_tail_is_the_last_rows_of_each_series(rows: list[Row]) -> None:
    table = _table(sorted(rows, key=lambda row: row[0]))

    assert _by_series(tail(table, GAS)) == {meter: found[-3:] for meter, found in _by_series(table).items()}


def test_a_contract_without_series_is_one_series() -> None:
    known, batch = _table([(0, "a"), (1, "b"), (5, "a")]), _table([(3, "c"), (4, "d")])
    before = Preceding.first(known, WITHOUT_SERIES)

    assert before.context(batch)["VolCorrected"].to_pylist() == [0.0, 1.0]
    after = before.then(batch)
    assert after.context(batch)["VolCorrected"].to_pylist() == [1.0, 0.0, 1.0]
