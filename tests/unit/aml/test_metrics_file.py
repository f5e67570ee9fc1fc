"""What a job leaves of what it measured can always be read, whatever came out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from aml import train as training
from aml.contract import DatasetContract, GateRule
from aml.metrics_file import write_metrics
from aml.rows import Rows
from shared.retraining.gate import judge


def test_numbers_that_are_not_finite_are_null_at_any_depth_and_others_stay(tmp_path: Path) -> None:
    champion = {"recall": -math.inf, "problem": "é", "tried": [(1, math.nan)]}
    write_metrics(tmp_path, {"recall": math.nan, "rows": 3, "share": 0.1, "champion": champion, "best": None})

    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == {
        "recall": None,
        "rows": 3,
        "share": 0.1,
        "champion": {"recall": None, "problem": "é", "tried": [[1, None]]},
        "best": None,
    }


def test_a_job_with_a_metric_that_is_no_number_ends_well_and_the_gate_says_no(
    gas: DatasetContract, training_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "compare", lambda measured, champion: {"reference_recall": math.nan, "champion": {}})

    training.train(training_rows, gas, 0.02, tmp_path, tmp_path / "champion")

    left = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    verdict = judge(left, {"reference_recall": 0.9}, [GateRule(metric="reference_recall", max_drop=0.2)])
    assert (verdict.promote, verdict.reasons) == (False, ("reference_recall could not be measured",))
