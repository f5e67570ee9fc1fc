"""Doubles as text, by whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_PROBED = 256
_FEW = 64


def shortest(values: NDArray[np.float64]) -> Any:
    """Each double as `repr` writes it, as Arrow strings; NaN is `nan`."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)  # tells -0.0 from 0.0, and NaN is itself
    probe = bits[:: len(bits) // _PROBED + 1]
    if 2 * len(np.unique(probe)) <= len(probe):  # flags, shares, most of them 0: each text is made once
        column = pa.array(bits).dictionary_encode()
        return pc.take(_texts(column.dictionary.to_numpy().view(np.float64)), column.indices)
    return _texts(values)


def _texts(values: NDArray[np.float64]) -> Any:
    size = np.abs(values)
    # Arrow writes these as Python does, but for the others 3 for 3.0, 1e+14 and 0.00001.
    alike = (size >= 1e-4) & (size < 1e9) & (np.floor(values) != values)
    texts = pa.array(values).cast(pa.string())
    places = np.flatnonzero(~alike)
    if not len(places):
        return texts
    odd = pa.array(list(map(repr, values[places].tolist())), pa.string())
    if len(places) > _FEW:
        return pc.replace_with_mask(texts, pa.array(~alike), odd)
    pieces, begin = [], 0
    for number, place in enumerate(places.tolist()):
        pieces += [texts.slice(begin, place - begin), odd.slice(number, 1)]
        begin = place + 1
    return pa.concat_arrays([*pieces, texts.slice(begin)])
