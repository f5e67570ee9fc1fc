"""What is held out of a table, kept beside the model, so that the one that comes next is judged on it too.

Kept with it are fingerprints of the rows that the measured model was fitted on: a model is not compared with another on
rows that only one of them has seen, where there are enough others.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from aml.columns import InputError
from aml.contract import ContractError, DatasetContract
from aml.holdout import FILE_NAME, GroundError
from aml.tabular.reading import table_from_arrow
from aml.tabular.table import Table

FITTED_NAME = "fitted.npy"
LEAST_UNSEEN = 30
"""So many rows that a model has not seen are enough to judge it by; of fewer, all rows of the ground are taken."""

Classes = NDArray[Any]
Keys = NDArray[np.uint64]

_MIX = np.uint64(0x9E3779B97F4A7C15)  # splitmix64: Steele, Lea and Flood, OOPSLA 2014
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, eq=False)
class Ground:
    """Held-out rows with their classes ("" where they have none), and the sorted fingerprints of the rows that were
    fitted on instead."""

    table: Table
    classes: Classes
    fitted: Keys

    def unseen(self, fitted: Keys) -> NDArray[np.intp]:
        """Positions of the rows that are not among those fitted on; all where they are fewer than `LEAST_UNSEEN`."""
        there = np.flatnonzero(~np.isin(keys_of(self.table, self.classes), fitted))
        return there if len(there) >= LEAST_UNSEEN else np.arange(len(self.table))

    def save(self, folder: Path, target: str | None) -> None:
        """Write it into the folder; `target` is the column of the classes, None where there are none."""
        pa.parquet.write_table(arrow_of(self.table, self.classes, target), folder / FILE_NAME)
        np.save(folder / FITTED_NAME, self.fitted)


def load_ground(folder: Path, contract: DatasetContract) -> Ground:
    """The ground that was kept in the folder or below it.

    Raises:
        GroundError: there is none, or it cannot be read.
    """
    found = sorted(folder.rglob(FILE_NAME))
    if len(found) != 1:
        raise GroundError(f"there is no {FILE_NAME} beside the model")
    try:
        parsed = table_from_arrow(pa.parquet.read_table(found[0]), contract, labelled=contract.target is not None)
        table, classes = parsed.usable()
        fitted = np.load(found[0].parent / FITTED_NAME)
    except (OSError, pa.ArrowException, InputError, ContractError, KeyError, TypeError, ValueError) as error:
        raise GroundError(f"{FILE_NAME} cannot be read ({type(error).__name__}: {error})") from error
    if not len(table):
        raise GroundError(f"{FILE_NAME} has no row that this contract could use")
    return Ground(table, classes, fitted)


def arrow_of(table: Table, classes: Classes, target: str | None) -> pa.Table:
    """The rows as they are read again by `table_from_arrow`."""
    columns: dict[str, pa.Array] = {}
    for name, values in table.numbers.items():
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    for name, texts in table.texts.items():
        columns[name] = pa.array(texts.objects(), pa.string())
    for name, times in table.times.items():
        columns[name] = pa.array(times, pa.timestamp("us"))
    if target is not None:
        columns[target] = pa.array(classes.astype(object), pa.string())
    return pa.table(columns)


def keys_of(table: Table, classes: Classes) -> Keys:
    """A fingerprint of each row and its class: equal rows have equal ones, in whatever process and order of columns."""
    columns: dict[str, Keys] = {}
    for name, values in table.numbers.items():
        same = np.where(np.isnan(values), np.nan, values + 0.0)  # one nan, one zero
        columns[name] = same.view(np.uint64)
    for name, texts in table.texts.items():
        columns[name] = np.array([*map(_key, texts.values), 0], dtype=np.uint64)[texts.codes]
    names, where = np.unique(classes.astype(str), return_inverse=True)
    keys = np.array([_key(str(name)) for name in names], dtype=np.uint64)[where]
    for name in sorted(columns):
        keys = _mixed(keys ^ _mixed(columns[name] + np.uint64(_key(name))))
    return keys


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(keys: Keys) -> Keys:
    keys = keys + _MIX
    keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
    keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
    mixed: Keys = keys ^ (keys >> np.uint64(31))
    return mixed
