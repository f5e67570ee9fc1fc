"""The part of a page that is about classes: how many rows were given each, and how sure the model was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml.contract import DatasetContract
from shared.reporting.labels import Labels
from shared.scoring.answers import BINS, Answers


def classified(
    contract: DatasetContract, counts: Mapping[str, Any], answers: Answers | None, say: Labels
) -> dict[str, Any]:
    """What the template needs of a classified table.

    Args:
        counts: as they stand in the manifest: beside the numbers of rows, rows by class of each column of answers.
    """
    columns = [column.name for column in contract.predictions if column.type == "text" and column.name in counts]
    known = {} if answers is None else answers.for_manifest()
    agreement = say("agreement", share=say.percent(known["agreement"])) if "agreement" in known else ""
    sure = list(reversed(known.get("confidence", [])))
    return {
        "answered": [{"column": name, "classes": _bars(dict(counts[name]), say)} for name in columns],
        "confidence": _bars({_tenth(BINS - 1 - at, say): rows for at, rows in enumerate(sure)}, say, sort=False),
        "agreement": agreement,
    }


def _tenth(at: int, say: Labels) -> str:
    return f"{say.number(at / BINS, 2)} - {say.number((at + 1) / BINS, 2)}"


def _bars(rows: Mapping[str, int], say: Labels, *, sort: bool = True) -> list[dict[str, Any]]:
    """Numbers of rows by name, the largest first, with their shares, and bars in per cent of the largest."""
    every, largest = sum(rows.values()), max(rows.values(), default=0)
    ordered = sorted(rows.items(), key=lambda each: (-each[1], each[0])) if sort else list(rows.items())
    return [
        {
            "name": name,
            "rows": say.count(count),
            "share": f"{say.percent(count / every)} %" if every else "",
            "percent": round(100 * count / largest) if largest else 0,
        }
        for name, count in ordered
    ]
