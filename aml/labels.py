"""What a label column says of a row: `1` or `true` an anomaly, `0` or `false` none; an empty field says nothing.

Training, and the check of a dropped dataset before it, read labels by these words.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from aml.rows import UNLABELLED, Labels

_WORDS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "": UNLABELLED}
UNREADABLE = -2
"""Of a field that is not empty and says neither."""


def label_of(value: object) -> int:
    """1, 0, `UNLABELLED` or `UNREADABLE`; case and spaces around it do not matter."""
    return UNLABELLED if value is None else _WORDS.get(str(value).strip().lower(), UNREADABLE)


def labels_of(column: pa.ChunkedArray) -> Labels:
    """The same of each value of an Arrow column of texts, numbers or booleans; shape (len(column),)."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    known = np.array([*(label_of(text) for text in coded.dictionary.to_pylist()), UNLABELLED], dtype=np.int8)
    return known[np.asarray(coded.indices.fill_null(len(known) - 1), dtype=np.int64)]
