"""Parquet as columns of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.floats import shortest
from shared.unpacking.sheets import Sheet, UnpackError, batch_of

_CELLS = 1 << 17
_BATCH_BYTES = 4 << 20


def read_parquet(file: IO[bytes]) -> tuple[list[str], Iterator[Sheet]]:
    """The column names and the rows of a Parquet file.

    Floats and integers become their shortest text, times `yyyy-mm-dd HH:MM:SS[.ffffff]` (with a zone: the wall clock in
    that zone), nulls the empty field, booleans `true` and `false`, lists and structs JSON. The first row is line 2, as
    it would be in a CSV.

    Raises:
        UnpackError: `unreadable_file`, `empty_file`; also while the rows are taken.
    """
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UnpackError("unreadable_file", f"The file is no sound Parquet file ({error}).") from error
    names = [str(name) for name in parquet.schema_arrow.names]
    if not names:
        raise UnpackError("empty_file", "The Parquet file has no columns.")
    promised = max(1, parquet.metadata.num_rows)
    unpacked = sum(parquet.metadata.row_group(at).total_byte_size for at in range(parquet.metadata.num_row_groups))
    fitting = _BATCH_BYTES * promised // max(1, unpacked)
    return names, _sheets(parquet, max(1, min(_CELLS // len(names), fitting, promised)))


def _sheets(parquet: Any, rows: int) -> Iterator[Sheet]:
    line, promised = 2, parquet.metadata.num_rows
    native = {at for at, kind in enumerate(parquet.schema_arrow.types) if _fractional(kind)}
    try:
        for batch in parquet.iter_batches(batch_size=rows, use_threads=False):
            batch.validate(full=True)
            yield Sheet(batch_of(list(map(_texts, batch.columns))), range(line, line + batch.num_rows), (), native)
            line += batch.num_rows
            # Asked for more than the rows it promised, the reader never returns from some damaged files.
            if line - 2 >= promised:
                break
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UnpackError("unreadable_file", f"The file is no sound Parquet file ({error}).", line) from error
    if line - 2 != promised:
        message = f"The Parquet file promises {promised} rows, but holds {line - 2}."
        raise UnpackError("unreadable_file", message, line)


def _fractional(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _texts(column: Any) -> Any:
    """One column as text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_integer(kind):
        return column.cast(pa.string()).fill_null("")
    if pa.types.is_float64(kind):
        texts = shortest(column.fill_null(np.nan).to_numpy(zero_copy_only=False))
        return pc.if_else(column.is_null(), "", texts) if column.null_count else texts
    return pa.array(_slowly(column, kind), pa.string())


def _slowly(column: Any, kind: Any) -> list[str]:
    if pa.types.is_timestamp(kind):
        return _times(column)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        # Text of the float as it is, not of the longer double nearest to it.
        scalar = np.float16 if pa.types.is_float16(kind) else np.float32
        return ["" if value is None else str(scalar(value)) for value in column.to_pylist()]
    values = column.to_pylist()
    if pa.types.is_boolean(kind):
        return ["" if value is None else str(value).lower() for value in values]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return ["" if value is None else value.decode("utf-8", "backslashreplace") for value in values]
    if pa.types.is_nested(kind):
        return ["" if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    return ["" if value is None else str(value) for value in values]


def _times(column: Any) -> list[str]:
    if column.type.tz is not None:
        column = pc.local_timestamp(column)
    micros = column.cast(pa.timestamp("us"), safe=False)
    return ["" if value is None else str(value) for value in micros.to_pylist()]
