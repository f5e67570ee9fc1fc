"""Prediction columns: which go over the wire, into the file, and are counted; and what a missing one becomes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shared.errors import EndpointUnavailableError
from shared.floats import shortest
from shared.scoring import wire
from shared.scoring.inline import _predictions
from shared.scoring.table import Counts, ScoredChunk, class_names, prediction_names
from shared.tables import Cells
from shared.tables.cells import TextRows
from tests.unit.scoring.answered import CONTRACT, NAN, Reading, answered

_SHOWN = ["anomaly", "anomaly_score", "expected", "lower", "upper", "severity", "reason"]


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _answer() -> pa.Table:
    return answered([Reading(None, 0, 1.0, NAN), Reading(None, 1, 6.5, 2.125, 0.75, "leak", 1)])[1].predictions


def _chunk(predictions: pa.Table) -> ScoredChunk:
    rows = [["00:00", "1"], ["01:00", "6,5"]]
    return ScoredChunk(Cells([TextRows(rows)]), predictions, ["", ""], [], tuple(prediction_names(CONTRACT)))


def test_a_column_that_is_not_for_the_file_goes_over_the_wire_alone() -> None:
    predictions = wire.decode(_stream(_answer()), wire.ARROW, CONTRACT, 2).columns

    assert predictions.schema.names == [*_SHOWN, "kind"]
    assert prediction_names(CONTRACT) == _SHOWN
    assert _chunk(predictions).render().decode() == (
        "00:00;1;0;0.5;;;;0.0;;\n01:00;6,5;1;0.5;2.125;1.125;3.125;0.75;why 1;\n"
    )


def test_a_json_answer_has_it_too_and_says_null_for_what_is_not_known() -> None:
    usual, leak = _predictions(_chunk(wire.decode(_stream(_answer()), wire.ARROW, CONTRACT, 2).columns))

    assert (usual["expected"], usual["kind"], usual["reason"]) == (None, "none", "")
    assert (leak["expected"], leak["kind"], leak["reason"]) == (2.125, "leak", "why 1")
    json.dumps([usual, leak], allow_nan=False)


@pytest.mark.parametrize("kind", [wire.ARROW, wire.JSON])
def test_columns_that_an_endpoint_does_not_know_stay_empty(kind: str) -> None:
    known = _answer().select(["anomaly", "anomaly_score"])
    as_json = json.dumps({"predictions": known.to_pylist()}).encode()

    predictions = wire.decode(_stream(known) if kind == wire.ARROW else as_json, kind, CONTRACT, 2).columns

    assert _chunk(predictions).render() == b"00:00;1;0;0.5;;;;;;\n01:00;6,5;1;0.5;;;;;;\n"


def test_an_answer_without_any_of_the_columns_is_none() -> None:
    with pytest.raises(EndpointUnavailableError) as caught:
        wire.decode(_stream(pa.table({"other": [1, 2]})), wire.ARROW, CONTRACT, 2)

    assert caught.value.code == "malformed_answer"


def test_words_are_not_counted_as_classes() -> None:
    counts = Counts(class_names(CONTRACT))

    counts.add(_chunk(_answer()))

    assert counts.as_dict() == {"rows": 2, "scored": 2, "errors": 0, "rejected": 0, "anomalies": 1}


@pytest.mark.parametrize("repeats", [1, 400])
def test_numbers_that_come_often_are_written_as_those_that_come_once(repeats: int) -> None:
    values: list[Any] = [0.0, -0.0, math.nan, 1e-7, 0.75, 3.0, 1e300, -2.5, math.inf] * repeats

    assert shortest(np.array(values)).to_pylist() == list(map(repr, values))
