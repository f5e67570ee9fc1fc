"""Rows by series and time, and their answers back in the order of the file."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.scoring.context import fingerprint, row_schema
from shared.scoring.grouping import Grouped, Scattered, is_grouped
from shared.tables import BytesSource, Survey, survey
from shared.tables.spool import Spool

GAS = load_contract("gas").model_copy(update={"context_rows": 5})
_START = datetime.fromisoformat("2026-01-01")
_ROWS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["a", "b", "c", ""])), min_size=1, max_size=50)

Row = tuple[int, str]


def _surveyed(rows: list[Row]) -> Survey:
    lines = [f"{_START + timedelta(hours=hour)},{at},{name}" for at, (hour, name) in enumerate(rows)]
    return survey(BytesSource("x.csv", "\n".join(["FechaHora,VolCorrected,Serie", *lines, ""]).encode()), GAS)


def _table(rows: list[Row]) -> pa.Table:
    found = [
        {GAS.time: _START + timedelta(hours=hour), GAS.value: float(at), GAS.series: name or None}
        for at, (hour, name) in enumerate(rows)
    ]
    return pa.Table.from_pylist(found, schema=row_schema(GAS))


@given(rows=_ROWS, chunk=st.integers(1, 30), lot=st.sampled_from([1, 7, 1000]), cut=st.integers(0, 50))
def test_batches_are_in_time_order_and_answers_return_to_their_rows(
    rows: list[Row], chunk: int, lot: int, cut: int
) -> None:
    table, found = _table(rows), _surveyed(rows)
    grouped = Grouped(found, GAS, chunk, lot)
    answers = Scattered(pa.schema([("answer", pa.float64())]), lot)
    for part in (table.slice(0, cut), table.slice(cut)):
        grouped.add(part)

    seen: dict[str | None, list[tuple[datetime, float]]] = {}
    for places, batch in grouped.batches():
        weight = batch.num_rows + GAS.context_rows * (len(set(batch.column(GAS.series).to_pylist())) - 1)
        assert batch.num_rows >= 1
        assert weight <= chunk
        assert batch.equals(table.take(pa.array(places)))
        for row in batch.to_pylist():
            seen.setdefault(row[GAS.series], []).append((row[GAS.time], row[GAS.value]))
        answers.add(places, pa.table({"answer": batch.column(GAS.value)}))

    assert all(own == sorted(own) for own in seen.values()), "and rows of one time in the order of the file"
    assert sum(map(len, seen.values())) == len(rows)
    back = [answers.read(min(7, len(rows) - start)) for start in range(0, len(rows), 7)]
    assert pa.concat_tables(back).column("answer").to_pylist() == list(map(float, range(len(rows))))
    answers.close()


@pytest.mark.parametrize(
    ("rows", "chunk", "expected"),
    [
        ([(hour, "a") for hour in range(40)], 10, False),
        ([(hour, name) for hour in range(20) for name in "abc"], 10, True),
        ([(hour, name) for hour in range(20) for name in "abc"], 60, False),
        ([(hour, name) for name in "abc" for hour in range(20)], 20, False),
        ([(hour, name) for name in "abc" for hour in range(2)], 10, True),
        ([(2, "a"), (1, "a")], 10, True),
    ],
    ids=["one meter", "in turns", "in turns, large chunks", "one after the other", "mostly context", "out of order"],
)
def test_what_would_mostly_send_context_is_scored_by_series(rows: list[Row], chunk: int, expected: bool) -> None:
    assert is_grouped(_surveyed(rows), GAS, chunk) == expected


@given(rows=_ROWS, order=st.permutations(["a", "b", "c", ""]))
def test_a_fingerprint_is_of_the_rows_of_each_series_whatever_the_order_of_the_series(
    rows: list[Row], order: list[str]
) -> None:
    table = _table(rows)
    by_name = table.take(pa.array(np.argsort([order.index(name) for _, name in rows], kind="stable")))
    twice = pa.concat_tables([by_name.slice(0, 1), by_name.slice(1)])

    assert fingerprint(table, GAS) == fingerprint(by_name, GAS) == fingerprint(twice, GAS)
    changed = table.set_column(1, GAS.value, pa.array([None, *table.column(GAS.value).to_pylist()[1:]], pa.float64()))
    assert fingerprint(changed, GAS) != fingerprint(table, GAS)
    if rows[0] != rows[-1] and rows[0][1] == rows[-1][1]:
        reverse = table.take(pa.array(np.arange(len(rows))[::-1]))
        assert fingerprint(reverse, GAS) != fingerprint(table, GAS)


@given(
    batches=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=20),
    room=st.sampled_from([0, 300, 10**6]),
)
def test_a_spool_gives_back_each_lot_in_the_order_in_which_it_came(batches: list[tuple[int, int]], room: int) -> None:
    schema = pa.schema([("number", pa.int64()), ("word", pa.string())])
    expected: dict[int, list[int]] = {}
    with Spool(schema, room) as spool:
        for start, (lot, size) in enumerate(batches):
            numbers = list(range(100 * start, 100 * start + size))
            spool.add(lot, pa.record_batch({"number": numbers, "word": list(map(str, numbers))}, schema=schema))
            expected.setdefault(lot, []).extend(numbers)

        assert spool.lots == sorted(lot for lot, numbers in expected.items() if numbers)
        for lot in spool.lots:
            assert spool.rows(lot) == len(expected[lot])
            taken = spool.take(lot)
            assert taken.column("number").to_pylist() == expected[lot]
            assert taken.column("word").to_pylist() == list(map(str, expected[lot]))
        assert spool.lots == []
