"""Times that occur twice in a series of a file that is in no order of time, for which neighbours say nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.tables import Chunk, Example, Tally

_EXAMPLES = 5


class Repeated:
    """Gathers the times of a file chunk by chunk: 12 bytes a row."""

    def __init__(self) -> None:
        self._times: list[NDArray[np.int64]] = []
        self._series: list[NDArray[np.int32]] = []
        self._usable: list[NDArray[np.bool_]] = []
        self._lines: list[Sequence[int]] = []
        self._names: dict[str | None, int] = {}

    def add(self, rows: pa.Table, chunk: Chunk, contract: DatasetContract) -> None:
        """The usable rows of the next chunk, with the contract's columns."""
        self._times.append(rows.column(contract.time).cast(pa.int64()).to_numpy())
        self._usable.append(chunk.usable)
        self._lines += chunk.lines
        if contract.series is None:
            self._series.append(np.zeros(rows.num_rows, np.int32))
            return
        coded = rows.column(contract.series).combine_chunks().dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        known = [self._names.setdefault(name, len(self._names)) for name in coded.dictionary.to_pylist()]
        self._series.append(np.array(known, np.int32)[coded.indices.to_numpy()])

    def tally(self) -> Tally:
        """The rows with a time that an earlier row of the file, of the same series, has too."""
        times, series = np.concatenate(self._times), np.concatenate(self._series)
        order = np.lexsort((times, series))
        again = (np.diff(times[order]) == 0) & (np.diff(series[order]) == 0)
        places = np.sort(order[1:][again])
        first = np.flatnonzero(np.concatenate(self._usable))[places[:_EXAMPLES]]
        moments = times[places[:_EXAMPLES]].astype("datetime64[us]").tolist()
        return Tally(
            len(places),
            tuple(
                Example(self._line(int(row)), f"{moment} is the time of an earlier row too")
                for row, moment in zip(first, moments, strict=True)
            ),
        )

    def _line(self, row: int) -> int:
        for lines in self._lines:
            if row < len(lines):
                return lines[row]
            row -= len(lines)
        raise IndexError(row)
