"""The endpoint's answers: the earlier system's JSON contract, the Arrow wire, and errors that say which row and why."""

import base64
import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from aml.detection.findings import Kind
from aml.messages import ARROW, JSON
from aml.rows import Rows
from aml.serving import Service
from tests.unit.aml.streams import CONTEXT_ROWS, context_before, streams

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of the series, without a zone


def _text(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat(" ")


def _records(rows: Rows) -> list[dict[str, Any]]:
    return [
        {"FechaHora": _text(time), "VolCorrected": value, "Serie": f"meter {code}"}
        for time, value, code in zip(rows.time.tolist(), rows.value.tolist(), rows.series.tolist(), strict=True)
    ]


def _stream(rows: Rows, context_rows: int | str | None = 0) -> bytes:
    columns = {
        "FechaHora": pa.array(rows.time, pa.timestamp("us")),
        "VolCorrected": rows.value,
        "Serie": [f"meter {code}" for code in rows.series],
    }
    return _ipc(pa.table(columns), context_rows)


def _ipc(table: pa.Table, context_rows: int | str | None = 0) -> bytes:
    if context_rows is not None:
        table = table.replace_schema_metadata({"dropscore.context_rows": str(context_rows)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _arrow_answer(service: Service, body: bytes) -> pa.Table:
    answer = service.answer(ARROW, body)
    assert (answer.status, answer.content_type) == (200, ARROW), answer.body
    return pa.ipc.open_stream(answer.body).read_all()


def _json_answer(service: Service, request: object) -> dict[str, Any]:
    answer = service.answer(JSON, json.dumps(request).encode())
    assert (answer.status, answer.content_type) == (200, JSON), answer.body
    return json.loads(answer.body)  # type: ignore[no-any-return] # the test below looks at its shape


def _refused(service: Service, content_type: str, body: bytes, status: int = 400) -> dict[str, Any]:
    answer = service.answer(content_type, body)
    assert (answer.status, answer.content_type) == (status, JSON)
    error = json.loads(answer.body)
    assert error["error"].strip()
    return error  # type: ignore[no-any-return] # an object, or the line above had failed


def test_arrow_answers_with_the_contracts_columns_and_says_which_model(service: Service, training_rows: Rows) -> None:
    table = _arrow_answer(service, _stream(training_rows, context_rows=None))

    assert [(field.name, field.type) for field in table.schema] == [
        ("anomaly", pa.int64()),
        ("anomaly_score", pa.float64()),
        ("expected", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("severity", pa.float64()),
        ("reason", pa.string()),
        ("kind", pa.string()),
    ]
    assert table.schema.metadata == {
        b"dropscore.model": b"iforest_gas",
        b"dropscore.version": b"7",
        b"dropscore.evaluation": service.scorer.evaluation.encode(),
    }
    scores = service.scorer.scores(training_rows)
    assert np.array_equal(table["anomaly_score"].to_numpy(), scores)
    assert np.array_equal(table["anomaly"].to_numpy(), service.scorer.anomalies(scores))


def test_json_keeps_the_earlier_systems_shape_and_adds_predictions_and_model(
    service: Service, pipeline: Pipeline, training_rows: Rows
) -> None:
    rows = training_rows.take(slice(0, 40))
    data = [{**record, "note": 'a;"b"', "anomaly": "mine"} for record in _records(rows)]

    answer = _json_answer(service, {"data": data})

    flags = (pipeline.predict(rows) == -1).astype(int).tolist()
    scores = (-pipeline.score_samples(rows)).tolist()
    predictions = answer["predictions"]
    assert [(row["anomaly"], row["anomaly_score"]) for row in predictions] == list(zip(flags, scores, strict=True))
    found = service.scorer.detect(rows)
    for name in ("expected", "lower", "upper", "severity"):
        assert [row[name] for row in predictions] == getattr(found, name).tolist()
    assert [Kind[row["kind"].upper()] for row in predictions] == found.kind.tolist()
    assert set(answer) == {"ok", "rows", "preview", "csv_base64", "predictions", "model"}
    assert (answer["ok"], answer["rows"], answer["model"]) == (True, 40, {"name": "iforest_gas", "version": "7"})
    assert answer["preview"] == [{**data[i], **predictions[i]} for i in range(10)]
    text = base64.b64decode(answer["csv_base64"]).decode("utf-8")
    read = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    assert text.splitlines()[0] == (
        "FechaHora;VolCorrected;Serie;note;anomaly;anomaly_score;expected;lower;upper;severity;reason;kind"
    )
    assert [(row["note"], float(row["anomaly_score"])) for row in read] == [('a;"b"', score) for score in scores]


@settings(max_examples=40)
@given(streams(longest=60), st.data())
def test_arrow_and_json_give_the_same_numbers_for_any_chunk_with_its_context(
    service: Service, rows: Rows, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    context = context_before(rows, cut)
    chunk = rows.take(np.r_[context, np.arange(cut, len(rows))])

    arrow = _arrow_answer(service, _stream(chunk, len(context)))
    records = _records(chunk)
    plain = _json_answer(service, {"data": records[len(context) :], "context": records[: len(context)]})

    assert arrow.to_pylist() == plain["predictions"]
    assert arrow.num_rows == plain["rows"] == len(rows) - cut
    assert arrow["anomaly_score"].to_pylist() == service.scorer.scores(rows)[cut:].tolist()


def test_texts_aliases_and_extra_columns_change_no_number(service: Service, training_rows: Rows) -> None:
    rows = training_rows.take(slice(0, CONTEXT_ROWS + 1))
    expected = _json_answer(service, {"data": _records(rows)})["predictions"]
    spoken = [
        {"hourly date": record["FechaHora"], "Caudal_m3h": repr(record["VolCorrected"]).replace(".", ","), "flag": True}
        for record in _records(rows)
    ]
    table = pa.table({key: [record[key] for record in spoken] for key in ("flag", "hourly date", "Caudal_m3h")})

    assert _json_answer(service, {"data": spoken})["predictions"] == expected
    context = [{**record, "Serie": ""} for record in _records(rows)[:-1]]  # what a missing series column means
    assert _json_answer(service, {"data": spoken[-1:], "context": context})["predictions"] == expected[-1:]
    assert _arrow_answer(service, _ipc(table)).to_pylist() == expected


def test_a_request_of_context_alone_or_of_nothing_is_answered_with_no_row(
    service: Service, training_rows: Rows
) -> None:
    empty = _json_answer(service, {"data": []})

    assert (empty["rows"], empty["preview"], empty["predictions"]) == (0, [], [])
    assert _arrow_answer(service, _stream(training_rows.take(slice(0, 5)), 5)).num_rows == 0
    assert _arrow_answer(service, _stream(training_rows.take(slice(0, 0)))).num_rows == 0


@pytest.mark.parametrize(
    ("change", "row", "words"),
    [
        ({"VolCorrected": "1.234,5"}, 2, "VolCorrected is not a number"),
        ({"VolCorrected": None}, 2, "VolCorrected is empty"),
        ({"VolCorrected": float("nan")}, 2, "VolCorrected is not a number"),
        ({"FechaHora": "31/01/2024 10:00"}, 2, "FechaHora is not a time"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_number_and_why(
    service: Service, training_rows: Rows, change: dict[str, Any], row: int, words: str
) -> None:
    records = _records(training_rows.take(slice(0, 4)))
    records[2] = {**records[2], **change}

    in_data = _refused(service, JSON, json.dumps({"data": records[1:], "context": records[:1]}).encode())
    in_context = _refused(service, JSON, json.dumps({"data": records[3:], "context": records[:3]}).encode())

    assert (in_data["code"], in_data["row"]) == ("bad_row", row)
    assert in_data["error"].startswith(f"Row {row}: {words}")
    assert (in_context["code"], in_context["row"]) == ("bad_context", 3)


def test_a_null_in_an_arrow_stream_is_refused_with_its_row(service: Service) -> None:
    table = pa.table({"FechaHora": pa.array([0, 1, None], pa.timestamp("us")), "VolCorrected": [1.0, 2.0, 3.0]})

    error = _refused(service, ARROW, _ipc(table, 1))

    assert error == {"error": "Row 2: FechaHora is empty.", "code": "bad_row", "row": 2}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff\xfe{", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"[]", "bad_request"),
        (b'{"rows": []}', "bad_request"),
        (b'{"data": {"Value": 1}}', "bad_request"),
        (b'{"data": [[1, 2]]}', "bad_request"),
        (b'{"data": [{"Value": 1}]}', "missing_column"),
        (b'{"data": [{"Date": "2024-01-01", "datetime": "2024-01-01", "Value": 1}]}', "ambiguous_column"),
        (b'{"data": [], "context": 3}', "bad_request"),
    ],
)
def test_a_json_body_that_is_no_request(service: Service, body: bytes, code: str) -> None:
    assert _refused(service, JSON, body)["code"] == code


def test_an_arrow_body_that_is_no_request(service: Service, training_rows: Rows) -> None:
    rows = training_rows.take(slice(0, 3))

    assert _refused(service, ARROW, b"")["code"] == "bad_arrow"
    assert _refused(service, ARROW, _stream(rows)[:-400])["code"] == "bad_arrow"
    assert _refused(service, ARROW, _stream(rows).replace(b"FechaHora", b"Fecha\xffora"))["code"] == "bad_arrow"
    for context in ("4", "-1", "x", "", "9" * 5000):
        assert _refused(service, ARROW, _stream(rows, context))["code"] == "bad_context"


@pytest.mark.parametrize("content_type", ["", "text/csv", "application/octet-stream"])
def test_another_content_type_is_415(service: Service, content_type: str) -> None:
    assert _refused(service, content_type, b"a;b", 415)["code"] == "unsupported_content_type"


_json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(["FechaHora", "VolCorrected", "Serie", "note"])


@given(st.lists(st.dictionaries(_names, _json_values), max_size=4), st.binary(max_size=40), st.integers(0, 2000))
def test_no_request_however_strange_ends_in_an_exception(
    service: Service, data: list[dict[str, Any]], noise: bytes, at: int
) -> None:
    good = _stream(Rows(np.arange(3), np.ones(3), np.zeros(3, dtype=np.int64)))

    assert service.answer(JSON, json.dumps({"data": data}).encode()).status in (200, 400)
    assert service.answer(JSON, noise).status == 400
    assert service.answer(ARROW, good[:at] + noise + good[at + len(noise) :]).status in (200, 400)
