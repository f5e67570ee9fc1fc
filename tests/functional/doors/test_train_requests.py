"""Training that a person asks for: with what, and whether the gate has a say."""

from __future__ import annotations

from typing import Any

import pytest

from shared.naming import DATASETS
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import World, hourly, table


@pytest.fixture
def doors(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(world, monkeypatch)


def test_training_is_asked_for_with_a_blob_or_the_latest_one(doors: Doors) -> None:
    world = doors.world
    doors.call("POST", "datasets/gas/train").problem(404, "no_dataset")
    for name in ("gas/b.csv", "gas/a.csv", "gas_raw_20261121.csv"):
        world.tick()
        world.blobs.put(DATASETS, name, table(hourly(5)))

    named = doors.call("POST", "datasets/gas/train", {"blob": "a.csv", "contamination": 0.05})
    latest = doors.call("POST", "datasets/gas/train")

    assert (named.status, named.json["blob"], named.json["state"]) == (202, "datasets/gas/a.csv", "received")
    assert named.json["parameters"] == {"contamination": 0.05}
    assert latest.json["blob"] == "datasets/gas_raw_20261121.csv"
    assert len(world.queue.messages) == 2
    again = doors.call("POST", "datasets/gas/train", {"blob": "a.csv"})
    assert again.json["id"] != named.json["id"], "a person's wish is a run of its own"


def test_a_person_may_insist_with_a_reason_and_a_name_as_far_as_it_is_known(doors: Doors) -> None:
    doors.world.blobs.put(DATASETS, "gas/x.csv", table(hourly(5)))
    known = {"x_ms_client_principal_name": "ana@example.org"}

    bare = doors.call("POST", "datasets/gas/train", {"force": True})
    full = doors.call("POST", "datasets/gas/train", {"force": True, "reason": " new meter "}, **known)
    not_at_all = doors.call("POST", "datasets/gas/train", {"force": False}, **known)

    assert bare.json["parameters"] == {"force": True}
    assert full.json["parameters"] == {"force": True, "reason": "new meter", "by": "ana@example.org"}
    assert "parameters" not in not_at_all.json or not_at_all.json["parameters"] == {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"blob": "missing.csv"}, 404, "blob_not_found"),
        ({"force": "yes"}, 400, "bad_force"),
        ({"force": 1}, 400, "bad_force"),
        ({"force": None}, 400, "bad_force"),
        ({"force": True, "reason": ""}, 400, "bad_reason"),
        ({"force": True, "reason": 7}, 400, "bad_reason"),
        ({"force": True, "reason": "x" * 501}, 400, "bad_reason"),
        ({"reason": "because"}, 400, "bad_reason"),
        ({"blob": ["x"]}, 400, "bad_blob"),
        ({"contamination": 0}, 400, "bad_contamination"),
        ({"contamination": 0.6}, 400, "bad_contamination"),
        ({"contamination": True}, 400, "bad_contamination"),
        ({"contamination": "0.1"}, 400, "bad_contamination"),
        ({"contamination": float("nan")}, 400, "bad_contamination"),
        ([], 400, "bad_json"),
    ],
)
def test_a_bad_request_to_train_is_a_problem(doors: Doors, body: Any, status: int, code: str) -> None:
    doors.world.blobs.put(DATASETS, "gas/x.csv", b"x")

    doors.call("POST", "datasets/gas/train", body).problem(status, code)

    assert doors.world.queue.messages == []


def test_a_classification_has_no_contamination(doors: Doors) -> None:
    doors.world.blobs.put(DATASETS, "penguins/x.csv", b"x")

    doors.call("POST", "datasets/penguins/train", {"contamination": 0.1}).problem(400, "bad_contamination")

    assert doors.world.queue.messages == []
