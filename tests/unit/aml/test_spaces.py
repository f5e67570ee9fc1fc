"""The tuning section of a contract: what can be declared, and what is refused in words."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from aml.contract import DatasetContract
from aml.spaces import Choice, Range, Tuning

GRID = {"method": "grid", "space": {"trees": {"values": [50, 100]}, "max_features": {"values": [0.5, 1.0]}}}
STOPPED = {"early_termination": {"policy": "median"}}
SWEEP = {"method": "sweep", "space": {"max_samples": {"minimum": 64, "maximum": 512, "log": True}}}


def test_nothing_declared_is_no_search(gas: DatasetContract) -> None:
    assert Tuning().method == "none"
    assert not Tuning().in_the_job
    assert not Tuning().is_sweep
    assert "tuning" in gas.model_dump(mode="json")


def test_a_space_is_read_from_yaml() -> None:
    text = """
      method: sweep
      objective: recall_leak
      early_termination: {policy: bandit, slack_factor: 0.2, delay_evaluation: 1}
      space:
        trees: {values: [50, 100]}
        max_samples: {minimum: 64, maximum: 512, log: true}
    """
    tuning = Tuning.model_validate(yaml.safe_load(text))

    assert tuning.space == {
        "trees": Choice(values=(50, 100)),
        "max_samples": Range(minimum=64, maximum=512, log=True),
    }
    assert tuning.is_sweep
    assert Tuning.model_validate(tuning.model_dump(mode="json")) == tuning


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"method": "guess"}, "Input should be 'none'"),
        ({"method": "random"}, "tuning by random needs a space"),
        ({"method": "none", "space": GRID["space"]}, "tuning by none searches no space"),
        ({**GRID, "space": {"leaves": {"values": [1]}}}, "leaves"),
        ({**GRID, "trials": 3}, "the grid has 4 points, and trials allows 3"),
        ({**GRID, "space": {"trees": {"minimum": 10, "maximum": 20}}}, "a grid needs values for trees, not a range"),
        ({**GRID, "early_termination": {"policy": "median"}}, "early_termination is for tuning by sweep"),
        ({**GRID, "space": {"trees": {"values": [0]}}}, "trees must be from 1 to 5000, not 0"),
        ({**GRID, "space": {"trees": {"values": [50.5]}}}, "trees is counted in whole numbers, not 50.5"),
        ({**GRID, "space": {"trees": {"values": [5, 5]}}}, "a value stands twice"),
        ({**GRID, "space": {"trees": {"values": []}}}, "at least 1 item"),
        ({**GRID, "space": {"contamination": {"values": [0.6]}}}, "contamination must be from"),
        ({"method": "random", "space": {"trees": {"minimum": 9, "maximum": 9}}}, "minimum must be below maximum"),
        ({"method": "random", "space": {"trees": {"minimum": 9, "maximum": 99, "lgo": True}}}, "Extra inputs"),
        ({**SWEEP, "sampling": "bayesian"}, "knows no logarithmic range"),
        (
            {
                "method": "sweep",
                "sampling": "bayesian",
                "space": GRID["space"],
                "early_termination": {"policy": "median"},
            },
            "'bayesian' of a sweep has no early_termination",
        ),
        ({**SWEEP, "early_termination": {"policy": "bandit"}}, "slack_factor or a slack_amount, and not both"),
        ({**SWEEP, "early_termination": {"policy": "truncation"}}, "truncation_percentage"),
        ({**SWEEP, "early_termination": {"policy": "mood"}}, "'bandit', 'median', 'truncation'"),
        ({**SWEEP, "objective": "Recall of leaks"}, "objective"),
    ],
)
def test_what_hangs_not_together_is_refused_in_words(declared: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Tuning.model_validate(declared)

    assert words in str(caught.value)


def test_automl_is_for_classification(gas: DatasetContract) -> None:
    declared = gas.model_dump(mode="json") | {"tuning": {"method": "automl"}}

    with pytest.raises(ValidationError, match=r"automl needs a classification dataset.*task is anomaly"):
        DatasetContract.model_validate(declared)

    Tuning(method="automl").require_fits("classification")
