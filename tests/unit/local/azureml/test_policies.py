"""Early termination as Azure ML documents it, on histories of what trials logged."""

from __future__ import annotations

from typing import Any

import pytest

from local.azureml.errors import ArmError
from local.azureml.policies import laggards, require_known

BANDIT = {"policyType": "Bandit", "slackFactor": 0.2, "evaluationInterval": 1}


def test_the_documented_example_of_a_bandit() -> None:
    # "the best performing run reported 0.8, slack_factor 0.2: below 0.8 / 1.2 = 0.66 a run is ended"
    histories = {"best": [0.8], "good": [0.67], "bad": [0.66]}

    assert laggards(BANDIT, histories, "Maximize") == {"bad"}
    assert laggards({**BANDIT, "slackFactor": 0, "slackAmount": 0.1}, histories, "Maximize") == {"good", "bad"}
    assert laggards(BANDIT, {"best": [1.0], "good": [1.2], "bad": [1.21]}, "minimize") == {"bad"}


def test_a_trial_is_compared_with_what_the_others_had_after_as_many_intervals() -> None:
    histories = {"ahead": [0.1, 0.5, 0.9], "behind": [0.1]}

    assert laggards(BANDIT, histories, "Maximize") == set()
    assert laggards(BANDIT, {**histories, "behind": [0.1, 0.1]}, "Maximize") == {"behind"}
    assert laggards(BANDIT, {**histories, "behind": [0.9, 0.1]}, "Maximize") == set()  # its best counts


def test_delay_and_interval_say_when_it_looks() -> None:
    policy = {**BANDIT, "evaluationInterval": 2, "delayEvaluation": 4}
    due = [
        length
        for length in range(1, 9)
        if laggards(policy, {"best": [1.0] * 9, "bad": [0.1] * length}, "Maximize") == {"bad"}
    ]

    assert due == [4, 6, 8]


def test_median_stopping_ends_what_is_worse_than_the_median_of_averages() -> None:
    policy = {"policyType": "MedianStopping", "evaluationInterval": 1, "delayEvaluation": 0}
    histories = {"a": [0.9, 0.9], "b": [0.5, 0.7], "c": [0.1, 0.3]}

    assert laggards(policy, histories, "Maximize") == {"c"}
    assert laggards(policy, histories, "Minimize") == {"a"}


def test_truncation_ends_the_lowest_share() -> None:
    policy = {"policyType": "TruncationSelection", "truncationPercentage": 40, "evaluationInterval": 1}
    histories = {name: [value / 10] for value, name in enumerate("abcde")}

    assert laggards(policy, histories, "Maximize") == {"a", "b"}
    assert laggards(policy, histories, "Minimize") == {"d", "e"}
    assert laggards({**policy, "truncationPercentage": 10}, histories, "Maximize") == set()
    assert laggards(policy, {name: [0.5] for name in "abcde"}, "Maximize") == set()


@pytest.mark.parametrize("policy", [None, {}])
def test_without_a_policy_nothing_is_ended(policy: Any) -> None:
    require_known(policy)

    assert laggards(policy, {"a": [1.0], "b": [0.0]}, "Maximize") == set()


def test_one_trial_alone_is_never_ended() -> None:
    assert laggards(BANDIT, {"a": [0.0]}, "Maximize") == set()


def test_a_policy_of_another_kind_is_refused() -> None:
    with pytest.raises(ArmError, match="does not have early termination of type Mood"):
        require_known({"policyType": "Mood"})
