"""`metrics.json`, which a training job leaves for the app: what was measured, and what it followed from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "metrics.json"


def write_metrics(folder: Path, metrics: Mapping[str, object]) -> None:
    """Write them into the folder.

    JSON has no word for a number that is not finite. Where one comes out it stands there as null, at any depth: the
    gate then says that it could not be measured, which a job that fails of it would not.
    """
    text = json.dumps(_finite(metrics), indent=1, allow_nan=False)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
