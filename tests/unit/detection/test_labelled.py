"""Folders in NAB's layout are read row for row, and what is not one says why."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.labelled import WINDOWS, LayoutError, read_folder

CSV = "timestamp,value\n2014-04-01 00:00:00,1.5\n2014-04-01 00:05:00,2\n2014-04-01 00:10:00,-3e2\n"


def folder(root: Path, files: dict[str, str], windows: Mapping[str, object]) -> Path:
    for name, text in files.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / WINDOWS).parent.mkdir(parents=True)
    (root / WINDOWS).write_text(json.dumps(windows))
    return root


def test_files_are_read_with_their_windows(tmp_path: Path) -> None:
    windows = {
        "real/one.csv": [["2014-04-01 00:05:00.000000", "2014-04-01 00:10:00.000000"]],
        "real/deeper/none.csv": [],
        "real/not there.csv": [],
    }
    root = folder(tmp_path, {"real/one.csv": CSV, "real/deeper/none.csv": CSV, "unlabelled.csv": CSV}, windows)

    none, one = read_folder(root)

    assert (one.name, none.name) == ("real/one.csv", "real/deeper/none.csv")
    assert one.rows.value.tolist() == [1.5, 2.0, -300.0]
    assert one.rows.time[0] == np.datetime64("2014-04-01", "us").astype(int)
    assert np.diff(one.rows.time).tolist() == [300_000_000] * 2
    assert one.windows == [(1, 2)]
    assert one.labels.tolist() == [False, True, True]
    assert not none.labels.any()


def test_a_window_without_a_row_is_none(tmp_path: Path) -> None:
    windows = {"a.csv": [["2015-01-01 00:00:00", "2015-01-02 00:00:00"]]}

    assert read_folder(folder(tmp_path, {"a.csv": CSV}, windows))[0].windows == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time,value\n1,2\n", "KeyError"),
        ("timestamp,value\nyesterday,2\n", "yesterday"),
        ("timestamp,value\n2014-04-01,much\n", "much"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str, why: str) -> None:
    root = folder(tmp_path, {"a.csv": text}, {"a.csv": []})

    with pytest.raises(LayoutError, match=why):
        read_folder(root)


def test_a_folder_of_another_layout_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="combined_windows"):
        read_folder(tmp_path)
    with pytest.raises(LayoutError, match="no file below data/"):
        read_folder(folder(tmp_path, {"b.csv": CSV}, {"a.csv": []}))
