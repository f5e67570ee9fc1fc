"""Writing results."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shared.tables import (
    Reject,
    render_header,
    render_predictions,
    render_rejects,
    render_rows,
    render_scored,
    scored_header,
)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (["a", "1,50"], "a;1,50\n"),
        (["a;b", 'c"d', "e\nf", "g\rh", " i "], '"a;b";"c""d";"e\nf";"g\rh"; i \n'),
        (["", ""], ";\n"),
        ([""], '""\n'),
        ([" \t"], '" \t"\n'),
        (["ñ"], "ñ\n"),
    ],
)
def test_rows(row: list[str], line: str) -> None:
    assert render_rows([row]) == line.encode()
    assert render_rows([["x", "y", "z"], row, ["x", "y"]]) == f"x;y;z\n{line}x;y\n".encode()
    assert render_scored([row, row], [["p", "q"], ["", "e"]]) == render_rows([[*row, "p", ""], [*row, "q", "e"]])


def test_nothing_is_nothing() -> None:
    assert render_rows([]) == b""


def test_no_scored_rows_are_no_bytes() -> None:
    assert render_scored([], [pa.array([], pa.string()), []]) == b""


def test_a_scored_header_never_bears_a_name_twice() -> None:
    assert scored_header(["t", "v"], ["anomaly", "score"]) == ["t", "v", "anomaly", "score", "error"]
    assert scored_header(["t", "Anomaly", "anomaly_2", "error"], ["anomaly"]) == [
        "t",
        "Anomaly",
        "anomaly_2",
        "error",
        "anomaly_3",
        "error_2",
    ]
    assert render_header(["a;b", "a;b"]) == b'"a;b";"a;b"\n'


def test_predictions_stand_beside_their_rows() -> None:
    answer = pa.RecordBatch.from_pydict(
        {
            "anomaly": pa.array([1, None], pa.int64()),
            "score": [0.1, float("nan")],
            "label": ["a;b", "c"],
            "tiny": [1e-7, 3.0],
        }
    )
    usable = np.array([True, False, True])
    columns = render_predictions(answer, ["anomaly", "score", "label", "tiny"], usable)
    assert [column.to_pylist() for column in columns] == [
        ["1", "", ""],
        ["0.1", "", ""],
        ["a;b", "", "c"],
        ["1e-07", "", "3.0"],
    ]
    cells = [["x", "1,50"], ["y", "?"], ["z", "2"]]
    assert render_scored(cells, [*columns, ["", "no number", ""]]).decode() == (
        'x;1,50;1;0.1;"a;b";1e-07;\ny;?;;;;;no number\nz;2;;;c;3.0;\n'
    )


def test_predictions_must_be_as_many_as_the_usable_rows() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 usable rows"):
        render_predictions(pa.RecordBatch.from_pydict({"a": [1]}), ["a"], np.array([True, True]))


def test_rejects() -> None:
    assert render_rejects([Reject(3, "too long", "a;b"), Reject(4, "x", "")]) == b'3;too long;"a;b"\n4;x;\n'
