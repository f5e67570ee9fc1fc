"""A model of Azure ML's AutoML among the candidates of a table: what the search is given, and what is taken from it.

AutoML is given the matrix that the other candidates are fitted on, without the rows that are held out, as an MLTable:
a folder with a Parquet file and a file `MLTable` that says so
(https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable). What it finds lies in the folder `outputs`
of its best child job: the graph `model.onnx`, which needs none of AutoML's libraries, and in `model_onnx.json` what
the graph calls the columns (keys of azureml.automl.core.onnx_convert.OnnxConvertConstants).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from scipy.sparse import csr_matrix
from sklearn.pipeline import Pipeline

from aml.columns import InputError
from aml.contract import DatasetContract
from aml.contract.models import AUTOML
from aml.tabular.algorithms import ALGORITHMS
from aml.tabular.features import TableFeatures
from aml.tabular.fitting import lot
from aml.tabular.metrics import Classes
from aml.tabular.onnx import OnnxClassifier, OnnxError

TARGET = "target"
"""What the column of the classes is called, whatever the contract calls it; `aml/jobs/automl.yml` says the same."""

_ROWS = "rows.parquet"
_MLTABLE = f"""\
$schema: https://azuremlschemas.azureedge.net/latest/MLTable.schema.json
type: mltable
paths:
  - file: ./{_ROWS}
transformations:
  - read_parquet:
      include_path_column: false
"""
_TRIED = 500
"""Rows on which a graph is tried before anything is made of it."""


@dataclass(frozen=True)
class FoundByAutoml:
    """What an AutoML job has left, `outputs`, and the folder of the table that it was given."""

    outputs: Path
    table: Path


def write_table(folder: Path, table: pa.Table) -> None:
    """Write the rows as an MLTable; the folder is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(table, folder / _ROWS)
    (folder / "MLTable").write_text(_MLTABLE, encoding="utf-8")


def table_of(matrix: csr_matrix, classes: Classes, seed: int) -> pa.Table:
    """The rows that AutoML is given: columns `c0` and on of 32-bit floats, as its graph will be given them, and the
    classes. Of more rows than fit into memory with all their zeros so many are drawn, every class in its share."""
    most = ALGORITHMS[AUTOML].rows_at_most(matrix.shape[1])
    drawn = lot(classes, most, seed) if most is not None else np.arange(len(classes))
    dense = matrix[drawn].toarray().astype(np.float32)
    columns = {name: pa.array(dense[:, at]) for at, name in enumerate(names_of(matrix))}
    return pa.table({**columns, TARGET: pa.array(classes[drawn].astype(object), pa.string())})


def names_of(matrix: csr_matrix) -> tuple[str, ...]:
    """What the columns of a matrix are called in the table."""
    return tuple(f"c{at}" for at in range(matrix.shape[1]))


def opened(
    found: FoundByAutoml | None,
    contract: DatasetContract,
    features: TableFeatures,
    matrix: csr_matrix,
    classes: Classes,
) -> Pipeline:
    """The model that AutoML found, behind the features of the table that it was given.

    Args:
        features: as fitted for the rows of `matrix`, none of which is held out.

    Raises:
        InputError: ``automl_missing``, ``automl_other_rows``, ``automl_without_onnx`` or ``automl_unusable``.
    """
    if found is None:
        raise InputError("automl_missing", "The contract lists a model of AutoML, and this job was given none.")
    _require_same_rows(found.table, table_of(matrix, classes, contract.split.seed))
    graph = found.outputs / "model.onnx"
    if not graph.is_file():
        raise InputError(
            "automl_without_onnx",
            "AutoML left no model.onnx: its best model could not be converted. Search again, or tune otherwise.",
        )
    try:
        model = OnnxClassifier(
            graph.read_bytes(),
            _called(found.outputs / "model_onnx.json", names_of(matrix)),
            tuple(str(name) for name in np.unique(classes)),
        )
        model.require_sound(matrix[:_TRIED])
    except OnnxError as error:
        raise InputError("automl_unusable", f"The model that AutoML found cannot be used: {error}.") from error
    return Pipeline([("features", features), ("model", model)])


def _require_same_rows(folder: Path, expected: pa.Table) -> None:
    """What AutoML has seen must be what this job would give it: else it may have seen rows that are held out."""
    try:
        given = pa.parquet.read_table(folder / _ROWS)
    except (OSError, pa.ArrowException) as error:
        raise InputError("automl_other_rows", f"The table that AutoML was given cannot be read: {error}.") from error
    if not given.equals(expected):
        raise InputError(
            "automl_other_rows",
            "AutoML was given other rows or features than this job would give it, perhaps because the contract "
            "changed meanwhile. Drop the dataset again.",
        )


def _called(resource: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the graph calls the columns: as they are called, unless the file beside it says otherwise."""
    try:
        told = json.loads(resource.read_text(encoding="utf-8"))["RawColumnNameToOnnxNameMap"]
    except (OSError, ValueError, KeyError, TypeError):
        told = {}
    told = told if isinstance(told, dict) else {}
    return tuple(str(told.get(name, name)) for name in names)
