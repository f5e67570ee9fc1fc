"""What a label says of a row: `1` or `true` that it is an anomaly, `0` or `false` that it is none, nothing nothing."""

from __future__ import annotations

UNLABELLED = -1
UNREADABLE = -2
"""Of a field that is not empty and says neither."""

_WORDS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "": UNLABELLED}


def label_of(value: object) -> int:
    """1, 0, `UNLABELLED` or `UNREADABLE`; case and spaces around it do not matter."""
    return UNLABELLED if value is None else _WORDS.get(str(value).strip().lower(), UNREADABLE)
