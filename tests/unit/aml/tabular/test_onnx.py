"""A graph as a classifier: what it may look like, that a row is answered by itself, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from aml.tabular.onnx import OnnxClassifier, OnnxError
from tests.unit.aml.tabular.birds import SPECIES

pytest.importorskip("onnxruntime", reason="onnxruntime has no package for this machine")

_WIDTH = 6
_COLUMNS = tuple(f"c{at}" for at in range(_WIDTH))
_CLASSES = tuple(sorted(SPECIES))


def _rows(count: int, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(_CLASSES), count)
    matrix = random.normal(0, 1, (count, _WIDTH)) + kinds[:, None]
    return matrix.astype(np.float32), np.array(_CLASSES)[kinds]


_FITTED_ON, _TRUTH = _rows(300)
_ASKED, _ = _rows(101, seed=1)


def _fitted(model: Any, classes: Any = _TRUTH) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)]).fit(_FITTED_ON, classes)


def _graph(model: Pipeline, kind: Any = FloatTensorType, rows: int | None = None, **options: Any) -> bytes:
    """With an input for each column."""
    inputs = [(name, kind([rows, 1])) for name in _COLUMNS]
    chosen = {id(model.named_steps["model"]): {"zipmap": False, **options}}
    converted: bytes = convert_sklearn(model, initial_types=inputs, options=chosen).SerializeToString()
    return converted


def _classifier(graph: bytes, columns: tuple[str, ...] = _COLUMNS) -> OnnxClassifier:
    return OnnxClassifier(graph, columns, _CLASSES)


@pytest.mark.parametrize(
    "model", [LogisticRegression(), GaussianNB(), RandomForestClassifier(20, random_state=1)], ids=str
)
def test_what_is_said_of_a_row_depends_on_no_other_row(model: Any) -> None:
    fitted = _fitted(model)
    classifier = _classifier(_graph(fitted))

    together = classifier.predict_proba(csr_matrix(_ASKED))
    pieces = [classifier.predict_proba(csr_matrix(_ASKED[at : at + 7])) for at in range(0, len(_ASKED), 7)]
    alone = [classifier.predict_proba(_ASKED[at : at + 1]) for at in range(len(_ASKED))][::-1]

    assert together.tobytes() == np.concatenate(pieces).tobytes() == np.concatenate(alone[::-1]).tobytes()
    assert np.abs(together - fitted.predict_proba(_ASKED)).max() < 1e-5
    assert np.abs(together.sum(axis=1) - 1).max() < 1e-12
    assert classifier.predict(_ASKED).tolist() == fitted.predict(_ASKED).tolist()


def test_every_form_of_graph_that_automl_writes_says_the_same() -> None:
    fitted = _fitted(RandomForestClassifier(5, random_state=1))
    plain = _classifier(_graph(fitted)).predict_proba(_ASKED)
    whole = convert_sklearn(
        fitted,
        initial_types=[("x", FloatTensorType([None, _WIDTH]))],
        options={id(fitted.named_steps["model"]): {"zipmap": False}},
    ).SerializeToString()
    numbered = _fitted(RandomForestClassifier(5, random_state=1), np.searchsorted(_CLASSES, _TRUTH))
    renamed = tuple(name.upper() for name in _COLUMNS)
    inputs = [(name, FloatTensorType([None, 1])) for name in renamed]
    other = convert_sklearn(
        fitted, initial_types=inputs, options={id(fitted.named_steps["model"]): {"zipmap": False}}
    ).SerializeToString()

    forms = {
        "maps as probabilities": _classifier(_graph(fitted, zipmap=True)),
        "one row at a time": _classifier(_graph(fitted, rows=1)),
        "all columns at once": _classifier(whole),
        "classes by number": _classifier(_graph(numbered)),
        "other names": _classifier(other, renamed),
    }

    for form, classifier in forms.items():
        classifier.require_sound(_ASKED)
        assert np.array_equal(classifier.predict_proba(_ASKED), plain), form


def test_columns_may_be_of_other_types_and_a_model_need_not_take_them_all() -> None:
    matrix = np.round(_ASKED * 10)
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())]).fit(
        np.round(_FITTED_ON[:, :2] * 10), _TRUTH
    )
    inputs = [("c1", Int64TensorType([None, 1])), ("c0", Int64TensorType([None, 1]))]
    graph = convert_sklearn(
        Pipeline(model.steps).fit(np.round(_FITTED_ON[:, [1, 0]] * 10), _TRUTH),
        initial_types=inputs,
        options={id(model.named_steps["model"]): {"zipmap": False}},
    ).SerializeToString()

    classifier = _classifier(graph)

    assert [(name, place) for name, place, _ in classifier._inputs] == [("c1", 1), ("c0", 0)]
    found = classifier.predict_proba(matrix)
    assert np.abs(found - model.predict_proba(matrix[:, [1, 0]])).max() < 1e-5
    doubles = _classifier(_graph(_fitted(LogisticRegression()), DoubleTensorType)).predict_proba(_ASKED)
    assert np.abs(doubles - _classifier(_graph(_fitted(LogisticRegression()))).predict_proba(_ASKED)).max() < 1e-5


def test_a_pickled_one_says_the_same_and_holds_the_graph_alone() -> None:
    classifier = _classifier(_graph(_fitted(LogisticRegression())))
    written = pickle.dumps(classifier)

    again = pickle.loads(written)

    assert again.predict_proba(_ASKED).tobytes() == classifier.predict_proba(_ASKED).tobytes()
    assert pickle.dumps(again) == written
    assert len(written) < len(classifier.graph) + 1000


def test_no_rows_are_answered_with_none() -> None:
    assert _classifier(_graph(_fitted(LogisticRegression()))).predict_proba(_ASKED[:0]).shape == (0, len(_CLASSES))


def test_what_is_no_graph_of_such_columns_is_refused() -> None:
    words = Pipeline([("model", Pipeline([("code", OneHotEncoder()), ("model", LogisticRegression())]))])
    words.fit(np.array(["a", "b"] * 150)[:, None], _TRUTH)
    texts = convert_sklearn(words, initial_types=[("c0", StringTensorType([None, 1]))]).SerializeToString()
    line = LinearRegression().fit(_FITTED_ON, np.arange(300.0))
    numbers = convert_sklearn(line, initial_types=[("x", FloatTensorType([None, _WIDTH]))]).SerializeToString()

    for graph, columns, why in (
        (b"no graph", _COLUMNS, "cannot be read"),
        (_graph(_fitted(LogisticRegression())), _COLUMNS[:-1], "asks for c5, which is no column"),
        (texts, _COLUMNS, r"its input c0 is of type tensor\(string\)"),
        (numbers, _COLUMNS, "no probabilities"),
    ):
        with pytest.raises(OnnxError, match=why):
            _classifier(graph, columns)


def test_what_answers_otherwise_than_it_should_is_found_out() -> None:
    fewer = _fitted(LogisticRegression(), np.where(_TRUTH == "ibis", "heron", _TRUTH))
    others = _fitted(LogisticRegression(), np.char.add(_TRUTH, "s"))
    wide = convert_sklearn(
        _fitted(LogisticRegression()), initial_types=[("x", FloatTensorType([None, _WIDTH]))]
    ).SerializeToString()

    for graph, columns, why in (
        (_graph(fewer), _COLUMNS, "knows 3 classes, and there are 4"),
        (_graph(others), _COLUMNS, "none of the classes"),
        (wide, _COLUMNS[:-1], "it fails: "),
    ):
        with pytest.raises(OnnxError, match=why):
            _classifier(graph, columns).require_sound(_ASKED[:, : len(columns)])
    backwards = OnnxClassifier(_graph(_fitted(LogisticRegression())), _COLUMNS, _CLASSES[::-1])
    with pytest.raises(OnnxError, match="has the largest probability"):
        backwards.require_sound(_ASKED)
