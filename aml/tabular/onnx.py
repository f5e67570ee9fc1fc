"""A classifier in the format ONNX as the last step of a scikit-learn pipeline; evaluated by onnxruntime.

The graph is given one row at a time and one core. Given more, its products of matrices sum in another order, and what
is said of a row depends on the rows beside it: with onnxruntime 1.31 a logistic regression's and a naive Bayes
classifier's answers changed in their last bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin

from aml.rows import Floats

_NUMBERS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


class OnnxError(ValueError):
    """The graph is no classifier of such columns and classes; the message says why."""


class OnnxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no type information
    """A graph that was fitted elsewhere.

    Its first output is the class, by name or by its position in `classes`; its second one the probabilities in the
    order of `classes`, shape (1, m), or as a map for the row. Its inputs are the whole row, shape (1, n), or one number
    for each of its columns, shape (1, 1); a column that the model has no use for has none.

    Args:
        graph: the serialised model.
        columns: what the n columns of a matrix are called by the graph's inputs.
        classes: the m classes, sorted.

    Raises:
        OnnxError: it cannot be read, or asks for something else.
    """

    def __init__(self, graph: bytes, columns: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self.graph = graph
        self.columns = columns
        self.classes = classes
        self._open()

    def fit(self, matrix: object, classes: object = None) -> Self:
        """There is nothing to learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[Any]:
        """As scikit-learn's classifiers have them."""
        return np.array(self.classes, dtype=object)

    def predict_proba(self, matrix: Any) -> Floats:
        """Shape (n rows, m classes); each row by itself, and summing to one."""
        found = np.empty((matrix.shape[0], len(self.classes)))
        for row, (_, shares) in enumerate(self._answers(matrix)):
            found[row] = shares / shares.sum()
        return found

    def predict(self, matrix: Any) -> NDArray[Any]:
        """The class with the largest probability, of equals the first."""
        said: NDArray[Any] = self.classes_[self.predict_proba(matrix).argmax(axis=1)]
        return said

    def require_sound(self, matrix: Any) -> None:
        """OnnxError where, for any of these rows, the graph fails, the probabilities are none, or the class that the
        graph names has not the largest of them: then they are in another order than `classes`."""
        for said, shares in self._answers(matrix):
            if not (np.isfinite(shares).all() and (shares >= 0).all() and abs(shares.sum() - 1) < 0.01):
                raise OnnxError(f"its probabilities of a row are {shares.tolist()}")
            place = self._place(said)
            if shares[place] < shares.max() - 1e-5:
                largest = self.classes[int(shares.argmax())]
                raise OnnxError(f"it says {said!r} of a row for which {largest!r} has the largest probability")

    def _answers(self, matrix: Any) -> Any:
        """Of each row the class as the graph says it, and the probabilities as float64."""
        dense = matrix.toarray() if issparse(matrix) else np.asarray(matrix)
        feeds = [(name, _cells(dense, place, dtype)) for name, place, dtype in self._inputs]
        for row in range(len(dense)):
            feed = {name: cells[row] for name, cells in feeds}
            try:
                said, shares = self._session.run(self._outputs, feed)
            except Exception as error:  # onnxruntime has a class of its own for every cause
                raise OnnxError(f"it fails: {' '.join(str(error).split())}") from error
            yield np.asarray(said).ravel()[0], self._shares(shares)

    def _shares(self, answer: Any) -> Floats:
        first = answer[0]
        values = [first[key] for key in sorted(first)] if isinstance(first, Mapping) else first
        shares = np.asarray(values, dtype=np.float64).ravel()
        if len(shares) != len(self.classes):
            raise OnnxError(f"it knows {len(shares)} classes, and there are {len(self.classes)}")
        return shares

    def _place(self, said: Any) -> int:
        if isinstance(said, str) and said in self.classes:
            return self.classes.index(said)
        if isinstance(said, np.integer) and 0 <= said < len(self.classes):
            return int(said)
        raise OnnxError(f"it says {said!r}, which is none of the classes")

    def _open(self) -> None:
        # 21 MB and a fifth of a second, for which only a bundle with such a model pays
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what it could not do is raised
        try:
            self._session = onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # likewise
            raise OnnxError(f"it cannot be read: {' '.join(str(error).split())}") from error
        outputs = [each.name for each in self._session.get_outputs()]
        if len(outputs) < 2:
            raise OnnxError(f"it answers {', '.join(outputs) or 'nothing'}, and no probabilities")
        self._outputs = outputs[:2]
        self._inputs = _inputs(self._session.get_inputs(), self.columns)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_session", "_inputs", "_outputs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._open()


_Cells = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]
_Input = tuple[str, int | None, type]


def _inputs(declared: Sequence[Any], columns: tuple[str, ...]) -> list[_Input]:
    """Each input's name, the column that it takes (None: all of them), and its type."""
    for each in declared:
        if each.type not in _NUMBERS:
            raise OnnxError(f"its input {each.name} is of type {each.type}, and every column is a number")
    if len(declared) == 1 and declared[0].name not in columns:
        return [(declared[0].name, None, _NUMBERS[declared[0].type])]
    strange = [each.name for each in declared if each.name not in columns]
    if strange:
        raise OnnxError(f"it asks for {', '.join(strange)}, which is no column of the table")
    return [(each.name, columns.index(each.name), _NUMBERS[each.type]) for each in declared]


def _cells(dense: NDArray[Any], place: int | None, dtype: type) -> _Cells:
    """What an input is given, row by row: shape (rows, 1, 1) for one column, (rows, 1, n) for all."""
    chosen = dense if place is None else dense[:, place : place + 1]
    return np.ascontiguousarray(chosen, dtype=dtype)[:, np.newaxis, :]
