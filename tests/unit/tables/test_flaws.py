"""How many fields have no usable value: the same whatever the size of the chunks, and whether the rows were kept."""

from __future__ import annotations

import pytest

from aml.contract import load_contract
from shared.tables import BytesSource, Flaws, Kept, read, survey

_GAS = load_contract("gas")
_BOUNDED = _GAS.model_copy(
    update={
        "columns": tuple(
            column.model_copy(update={"minimum": 0.0, "maximum": 100.0}) if column.name == "VolCorrected" else column
            for column in _GAS.columns
        )
    }
)
_VALUES = ["1.5", "", "n/d", "-3", "101", "100", "  ", "inf", "0", "7"]
_LINES = [f"2026-01-{1 + at // 24:02d} {at % 24:02d}:00:00;{_VALUES[at % 10]};m" for at in range(200)]
_FILE = "\n".join(["FechaHora;VolCorrected;Serie", "no time;5;m", *_LINES, ";6;", "one;too;many;fields", ""]).encode()


@pytest.mark.parametrize("rows_per_chunk", [1, 7, 1000])
@pytest.mark.parametrize("keeping", [False, True])
def test_every_flaw_is_counted_once(rows_per_chunk: int, keeping: bool) -> None:
    source = BytesSource("x.csv", _FILE, piece=500)
    found: dict[str, Flaws] = {}

    with Kept() as kept:
        surveyed = survey(source, _BOUNDED, kept=kept if keeping else None)
        for chunk in read(source, surveyed, _BOUNDED, rows_per_chunk=rows_per_chunk, kept=kept if keeping else None):
            for name, flaws in chunk.flaws.items():
                found[name] = found.get(name, Flaws()) + flaws

    assert found == {
        "FechaHora": Flaws(empty=1, invalid=1),
        "VolCorrected": Flaws(empty=40, invalid=40, outside=40),
        "Serie": Flaws(empty=1),
    }
