"""Law: what is said of a row does not depend on who asks, in which form, or beside which other rows."""

import itertools
import json
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml.contract import DatasetContract
from aml.messages import ARROW, JSON
from aml.tabular.candidates import Candidates
from aml.tabular.reading import table_from_arrow
from aml.tabular.serving import TabularService
from tests.unit.aml.tabular.birds import SPECIES, birds

_MODELS = ("logistic", "random_forest", "svm", "decision_tree", "lda", "gradient_boosting")
_ROWS = birds(90, seed=7).drop(["species"])


def _arrow(service: TabularService, rows: pa.Table, choice: str | None = None) -> pa.Table:
    metadata = None if choice is None else {"dropscore.model_choice": choice}
    sink = pa.BufferOutputStream()
    table = rows.replace_schema_metadata(metadata)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = service.answer(ARROW, sink.getvalue().to_pybytes())
    assert answer.status == 200, answer.body
    return pa.ipc.open_stream(answer.body).read_all()


def _json(service: TabularService, rows: list[dict[str, Any]], **more: Any) -> Any:
    answer = service.answer(JSON, json.dumps({"data": rows, **more}, default=str).encode())
    return json.loads(answer.body)


def _bits(table: pa.Table) -> list[Any]:
    return [
        [value.hex() if isinstance(value, float) else value for value in column.to_pylist()] for column in table.columns
    ]


@pytest.mark.parametrize("model", _MODELS)
def test_the_answer_is_what_the_pipeline_says(
    service: TabularService, contract: DatasetContract, candidates: Candidates, model: str
) -> None:
    answer = _arrow(service, _ROWS, model)

    pipeline = candidates[model]
    expected = pipeline.predict_proba(table_from_arrow(_ROWS, contract).table)
    assert answer.schema.names == ["species", "confidence", *(f"p_{name}" for name in SPECIES)]
    for place, name in enumerate(pipeline.classes_):
        assert answer.column(f"p_{name}").to_numpy().tobytes() == expected[:, place].tobytes()
    assert answer.column("species").to_pylist() == pipeline.classes_[expected.argmax(axis=1)].tolist()
    assert answer.column("confidence").to_numpy().tobytes() == expected.max(axis=1).tobytes()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.sets(st.integers(1, len(_ROWS) - 1), max_size=6), model=st.sampled_from([*_MODELS, "all", "best"]))
def test_rows_are_answered_alike_however_they_are_cut(service: TabularService, cuts: set[int], model: str) -> None:
    whole = _arrow(service, _ROWS, model)
    edges = [0, *sorted(cuts), len(_ROWS)]

    parts = [_arrow(service, _ROWS.slice(a, b - a), model) for a, b in itertools.pairwise(edges)]

    assert _bits(pa.concat_tables(parts)) == _bits(whole)


@pytest.mark.parametrize("model", _MODELS)
def test_a_row_alone_is_answered_as_among_others(service: TabularService, model: str) -> None:
    whole = _arrow(service, _ROWS.slice(0, 12), model)

    assert _bits(pa.concat_tables([_arrow(service, _ROWS.slice(at, 1), model) for at in range(12)])) == _bits(whole)


@pytest.mark.parametrize("model", [*_MODELS, "all"])
def test_json_is_answered_like_arrow(service: TabularService, model: str) -> None:
    expected = _arrow(service, _ROWS, model)

    answer = _json(service, _ROWS.to_pylist(), choice=model)

    columns = [pa.array([row[name] for row in answer["predictions"]]) for name in expected.schema.names]
    assert _bits(pa.table(columns, names=expected.schema.names)) == _bits(expected)
    assert answer["rows"] == len(_ROWS)


def test_text_is_answered_like_what_it_spells(service: TabularService) -> None:
    spelt = pa.table(
        {
            name: pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
            for name, column in zip(_ROWS.schema.names, _ROWS.columns, strict=True)
        }
    )

    assert _bits(_arrow(service, spelt, "logistic")) == _bits(_arrow(service, _ROWS, "logistic"))


def test_all_models_answer_side_by_side(service: TabularService, candidates: Candidates) -> None:
    answer = _arrow(service, _ROWS, "all")

    assert answer.schema.names == [f"{name}_species" for name in _MODELS]
    for name in _MODELS:
        assert answer.column(f"{name}_species").to_pylist() == _arrow(service, _ROWS, name).column(0).to_pylist()
    assert answer.schema.metadata[b"dropscore.candidate"] == b"all"


def test_the_champion_answers_where_nobody_chooses(service: TabularService, candidates: Candidates) -> None:
    plain = _arrow(service, _ROWS)

    assert _bits(plain) == _bits(_arrow(service, _ROWS, "best")) == _bits(_arrow(service, _ROWS, candidates.best))
    assert plain.schema.metadata[b"dropscore.candidate"].decode() == candidates.best
    assert _json(service, [{"wing": 1, "leg": 2, "ring": 1, "hour": 3, "lake": "x", "sex": ""}])["model"] == {
        "name": "classifier_birds",
        "version": "7",
        "candidate": candidates.best,
    }


def test_unseen_and_missing_values_are_answered(service: TabularService) -> None:
    row = {"wing": None, "leg": 0, "ring": 99, "lake": "Ness", "sex": None, "hour": 5}

    answer = _json(service, [row], choice="logistic")["predictions"][0]

    assert answer["species"] in SPECIES
    assert sum(answer[f"p_{name}"] for name in SPECIES) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "choice", "code", "words"),
    [
        ([{"wing": 1, "leg": 2, "ring": 1, "lake": "x", "sex": "male", "hour": 3}], "oracle", "unknown_model", "svm"),
        ([{"wing": 1, "leg": 2, "ring": 1, "lake": "x", "sex": "male", "hour": 3}], 7, "bad_request", "choice"),
        ([{"wing": 301, "leg": 2, "ring": 1, "lake": "x", "sex": "male", "hour": 3}], None, "bad_row", "above its max"),
        (
            [{"wing": 1, "leg": 2, "ring": None, "lake": "x", "sex": "male", "hour": 3}],
            None,
            "bad_row",
            "ring is empty",
        ),
        ([{"wing": 1, "leg": 2, "ring": 1, "lake": "x", "sex": "drake", "hour": 3}], None, "bad_row", "categories"),
        (
            [{"wing": 1, "leg": "long", "ring": 1, "lake": "x", "sex": "", "hour": 3}],
            None,
            "bad_row",
            "leg is not a num",
        ),
        ([{"wing": 1, "leg": 2, "ring": 1, "lake": "x", "sex": "male"}], None, "missing_column", "hour"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    service: TabularService, rows: list[dict[str, Any]], choice: Any, code: str, words: str
) -> None:
    answer = _json(service, rows, **({} if choice is None else {"choice": choice}))

    assert answer["code"] == code
    assert re.search(words, answer["error"])


def test_an_empty_table_has_no_answers(service: TabularService) -> None:
    assert _arrow(service, _ROWS.slice(0, 0), "all").num_rows == 0
    assert _json(service, [])["predictions"] == []


def test_a_column_follows_from_another(service: TabularService) -> None:
    hours = [each.hour for each in _ROWS.column("seen").to_pylist()]

    told = _ROWS.drop(["seen"]).append_column("hour", pa.array(np.array(hours, dtype=np.float64)))

    assert _bits(_arrow(service, told)) == _bits(_arrow(service, _ROWS))


def test_what_statistics_programs_write_for_nothing_is_filled_in(service: TabularService) -> None:
    row = {"wing": 170.0, "leg": None, "ring": 1, "lake": None, "sex": "male", "hour": 5}

    answers = _json(service, [row, {**row, "leg": "NA", "lake": "n/a"}, {**row, "leg": " ", "lake": "NaN"}])

    assert answers["predictions"][0] == answers["predictions"][1] == answers["predictions"][2]
    assert _json(service, [{**row, "ring": "NA"}])["error"] == "Row 1: ring is not a number: 'NA'."


def test_a_column_that_no_feature_reads_may_be_left_out(contract: DatasetContract, candidates: Candidates) -> None:
    notes = {"name": "notes", "type": "text"}
    declared = contract.model_dump(mode="json")
    wider = type(contract).model_validate({**declared, "columns": [*declared["columns"], notes]})

    answer = _arrow(TabularService(wider, "classifier_birds", "7", candidates), _ROWS)

    assert answer.num_rows == len(_ROWS)


def test_what_serves_loads_neither_figures_nor_searches() -> None:
    heavy = "{'matplotlib', 'optuna', 'aml.tabular.training', 'aml.detection.detector'}"
    code = f"import sys, aml.opening, aml.tabular.serving; print(sorted({heavy} & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    assert said.stdout.strip() == "[]"
