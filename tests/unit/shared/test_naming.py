"""Which dataset a dropped file belongs to, and where its results go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInputError
from shared.naming import INCOMING, UNPLACED, place, require_known, run_id

_NAMES = st.text(st.sampled_from("ab.csvxlgz_/ñ "), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("name", "dataset", "scored"),
    [
        ("gas/x.csv", "gas", "gas/x_scored.csv"),
        ("gas/x.xlsx", "gas", "gas/x.xlsx_scored.csv"),
        ("gas/x.csv.gz", "gas", "gas/x.csv.gz_scored.csv"),
        ("gas/x.csv.csv", "gas", "gas/x.csv_scored.csv"),
        ("gas/x.CSV", "gas", "gas/x.CSV_scored.csv"),
        ("gas/2026/11/x.csv", "gas", "gas/2026/11/x_scored.csv"),
        ("gas_raw_20261121.csv", "gas", "gas/gas_raw_20261121_scored.csv"),
        ("gas_interim_20261121.csv", "gas", "gas/gas_interim_20261121_scored.csv"),
        ("gas_PROCESSED_20261121.csv", "gas", "gas/gas_PROCESSED_20261121_scored.csv"),
        ("water/x.csv", "water", "water/x_scored.csv"),
        ("gas_raw_2026.csv", UNPLACED, "unplaced/gas_raw_2026_scored.csv"),
        ("gas.csv", UNPLACED, "unplaced/gas_scored.csv"),
        ("gas_raw_20261121.xlsx", UNPLACED, "unplaced/gas_raw_20261121.xlsx_scored.csv"),
        ("gas/", UNPLACED, "unplaced/gas/_scored.csv"),
        ("/x.csv", UNPLACED, "unplaced//x_scored.csv"),
    ],
)
def test_a_file_belongs_to_its_folder_or_to_what_its_name_begins_with(name: str, dataset: str, scored: str) -> None:
    drop = place(INCOMING, name)

    assert (drop.dataset, drop.result("scored.csv"), drop.blob) == (dataset, scored, f"incoming/{name}")


@given(first=_NAMES, second=_NAMES)
def test_no_two_files_of_a_folder_share_results(first: str, second: str) -> None:
    # a name without an ending is no input: nothing is ever scored under it
    one, other = (place(INCOMING, f"gas/{name}") for name in (first, second))
    if first != second and {first, second} != {one.stem, f"{one.stem}.csv"}:
        assert one.result("scored.csv") != other.result("scored.csv")


def test_an_unknown_dataset_and_an_unplaced_file_are_told_what_there_is() -> None:
    require_known(place(INCOMING, "gas/x.csv"), ("gas", "water"))
    with pytest.raises(InvalidInputError, match="gas, water") as unknown:
        require_known(place(INCOMING, "gaz/x.csv"), ("water", "gas"))
    with pytest.raises(InvalidInputError, match=r"incoming/gas/x\.csv") as unplaced:
        require_known(place(INCOMING, "x.csv"), ("gas",))

    assert (unknown.value.code, unplaced.value.code) == ("unknown_dataset", "unplaced_file")
    assert unknown.value.where == {"blob": "incoming/gaz/x.csv"}


def test_a_run_id_follows_from_its_cause_and_sorts_by_time() -> None:
    moment = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    first = run_id("score", "incoming/gas/x.csv", "0x1", moment)

    assert first.startswith("20261121T233000Z-score-")
    assert first == run_id("score", "incoming/gas/x.csv", "0x1", moment.astimezone(timezone(timedelta(hours=-5))))
    others = {
        run_id("train", "incoming/gas/x.csv", "0x1", moment),
        run_id("score", "incoming/gas/y.csv", "0x1", moment),
        run_id("score", "incoming/gas/x.csv", "0x2", moment),
    }
    assert len(others | {first}) == 4
    assert first < run_id("score", "incoming/gas/x.csv", "0x1", moment + timedelta(seconds=1))
