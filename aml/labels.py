"""Labels as Arrow columns hold them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from aml.contract.labels import UNLABELLED, label_of
from aml.rows import Labels


def labels_of(column: pa.ChunkedArray) -> Labels:
    """`label_of` each value of a column of texts, numbers or booleans; shape (len(column),)."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    known = np.array([*(label_of(text) for text in coded.dictionary.to_pylist()), UNLABELLED], dtype=np.int8)
    return known[np.asarray(coded.indices.fill_null(len(known) - 1), dtype=np.int64)]
