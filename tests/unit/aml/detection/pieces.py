"""The law of pieces: what is said of rows does not depend on how they are cut."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from aml.detection.findings import Detections
from aml.forest import Scorer
from aml.rows import Rows
from tests.unit.aml.streams import context_before


def alike_in_pieces(scorer: Scorer, rows: Rows, data: st.DataObject) -> Detections:
    """Hold what is said of up to three pieces, each with its context, to what is said of the whole, bit for bit.

    Returns:
        What is said of the whole.
    """
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=2)) | {0, len(rows)})
    whole, pieces = scorer.detect(rows), []
    for first, last in pairwise(cuts):
        context = context_before(rows, first)
        pieces.append(scorer.detect(rows.take(np.r_[context, np.arange(first, last)])).after(len(context)))

    for name in Detections.__dataclass_fields__:
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tobytes() == getattr(whole, name).tobytes(), name
    return whole
