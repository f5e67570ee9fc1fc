"""Doubles as text, by whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def shortest(values: NDArray[np.float64]) -> Any:
    """Each double as `repr` writes it, as Arrow strings; NaN is `nan`."""
    size = np.abs(values)
    # Arrow writes these as Python does, but for the others 3 for 3.0, 1e+14 and 0.00001.
    alike = (size >= 1e-4) & (size < 1e9) & (np.floor(values) != values)
    texts = pa.array(values).cast(pa.string())
    if alike.all():
        return texts
    odd = pa.array(list(map(repr, values[~alike].tolist())), pa.string())
    return pc.replace_with_mask(texts, pa.array(~alike), odd)
