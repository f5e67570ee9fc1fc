"""What the journal writes down of answers comes back bit for bit."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.scoring import journal

NUMBERS = st.one_of(
    st.integers(-(10**10), 10**10).map(lambda number: number / 10**6),
    st.integers(-(10**6), 10**6).map(lambda number: number / 10**3),
    st.floats(),
    st.sampled_from([0.0, -0.0, math.nan, math.inf, 2147.483647, 2147.483648, 1e300, 5e-324]),
)
COLUMN = st.one_of(
    st.lists(st.integers(-(2**31), 2**31).map(lambda number: number / 10**3), max_size=6),
    st.lists(st.one_of(st.none(), NUMBERS), max_size=6),
)


def _table(numbers: list[float | None]) -> pa.Table:
    texts = ["", None, "señal"] * 2
    columns = {
        "anomaly": pa.array(range(len(numbers)), pa.int64()),
        "anomaly_score": pa.array(numbers, pa.float64()),
        "reason": pa.array(texts[: len(numbers)], pa.string()),
    }
    return pa.table(columns)


def _bits(table: pa.Table | pa.RecordBatch) -> list[object]:
    """Its schema and rows, numbers by their bits: -0.0 is not 0.0, and NaN is itself."""
    rows = [
        [value.hex() if isinstance(value, float) else value for value in column.to_pylist()] for column in table.columns
    ]
    return [table.schema.names, [str(kind) for kind in table.schema.types], rows]


@example(batches=[[-0.0, 1.5]])
@given(batches=st.lists(COLUMN, min_size=1, max_size=3))
def test_answers_come_back_bit_for_bit(batches: list[list[float | None]]) -> None:
    tables = [_table(numbers) for numbers in batches]
    found, about = journal._decode(journal._encode(tables, {"refused": [{}]}))
    assert about == {"refused": [{}]}
    assert [_bits(batch) for batch in found] == [_bits(table) for table in tables]


@pytest.mark.parametrize("decimals", [2, 3, 4, 6])
def test_numbers_of_few_decimals_take_half_of_the_room(decimals: int) -> None:
    numbers = [pow(7, row, 2_000_003) / 10**decimals for row in range(20_000)]  # nothing in them to be compressed
    body = journal._encode([pa.table({"expected": numbers})], {})
    assert len(body) < 4.2 * len(numbers)
