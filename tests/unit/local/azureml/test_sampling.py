"""Drawing from a search space in Azure ML's notation."""

from __future__ import annotations

import math
from typing import Any

import pytest

from local.azureml.errors import ArmError
from local.azureml.sampling import Sampler, require_known

RANDOM = {"samplingAlgorithmType": "Random"}
GRID = {"samplingAlgorithmType": "Grid"}
BAYESIAN = {"samplingAlgorithmType": "Bayesian"}
SPACE: dict[str, Any] = {
    "optimizer": ["choice", [["sgd", "adam"]]],
    "layers": ["randint", [3]],
    "rate": ["loguniform", [math.log(0.001), math.log(0.1)]],
    "size": ["quniform", [8, 64, 8]],
    "rows": ["qloguniform", [math.log(16), math.log(256), 1]],
    "share": ["uniform", [0.2, 0.4]],
}


def test_random_sampling_stays_in_its_space_and_is_seeded() -> None:
    drawn = [Sampler(SPACE, RANDOM, "Maximize", seed) for seed in (1, 1, 2)]
    points = [[sampler.draw() or {} for _ in range(50)] for sampler in drawn]

    assert points[0] == points[1] != points[2]
    for point in points[0]:
        assert point["optimizer"] in ("sgd", "adam")
        assert point["layers"] in (0, 1, 2)
        assert 0.001 <= point["rate"] <= 0.1
        assert point["size"] % 8 == 0
        assert 16 <= point["rows"] <= 256
        assert point["rows"] == int(point["rows"])
        assert 0.2 <= point["share"] <= 0.4
    assert {point["layers"] for point in points[0]} == {0, 1, 2}


def test_a_grid_is_every_combination_once() -> None:
    sampler = Sampler({"a": ["choice", [[1, 2]]], "b": ["choice", [["x", "y"]]]}, GRID, "Maximize", 0)

    assert [sampler.draw() for _ in range(5)] == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
        None,
    ]


def test_bayesian_sampling_goes_where_it_was_good() -> None:
    sampler = Sampler({"x": ["uniform", [0, 1]]}, BAYESIAN, "Minimize", 3)
    for number in range(40):
        point = sampler.draw() or {}
        sampler.tell(number, None if number == 5 else (point["x"] - 0.7) ** 2)

    later = [(sampler.draw() or {})["x"] for _ in range(10)]

    assert sum(abs(x - 0.7) < 0.2 for x in later) >= 7


@pytest.mark.parametrize(
    ("space", "algorithm", "policy", "words"),
    [
        ({}, RANDOM, None, "needs a searchSpace"),
        ({"x": ["choice", 3]}, RANDOM, None, r"not \[kind, arguments\]"),
        ({"x": ["uniform", [0]]}, RANDOM, None, "'uniform' of 1 arguments"),
        ({"x": ["normal", [0, 1]]}, RANDOM, None, "does not have the distribution 'normal'"),
        ({"x": ["uniform", [0, 1]]}, GRID, None, "choice parameters only"),
        ({"x": ["loguniform", [0, 1]]}, BAYESIAN, None, "choice, uniform and quniform"),
        ({"x": ["uniform", [0, 1]]}, BAYESIAN, {"policyType": "Bandit"}, "does not support early termination"),
        ({"x": ["uniform", [0, 1]]}, {"samplingAlgorithmType": "Guess"}, None, "sampling of type Guess"),
        ({"x": ["uniform", [0, 1]]}, {**RANDOM, "rule": "sobol"}, None, "by the rule sobol"),
    ],
)
def test_what_cannot_be_drawn_is_refused(space: Any, algorithm: Any, policy: Any, words: str) -> None:
    with pytest.raises(ArmError, match=words):
        require_known(space, algorithm, policy)
