"""A contract that is not sound stops its own dataset and no other, and says why."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from aml.contract import load_contract
from shared.api import records
from shared.contracts import _tell, sound_names
from shared.naming import STATE
from tests.functional.retraining.world import World, dataset
from tests.functional.scoring.world import World as ScoringWorld
from tests.functional.scoring.world import hourly, table


@pytest.fixture
def folder(contracts: Path) -> Path:
    """The declared contracts, and one that is not sound: `broken`."""
    broken = (contracts / "penguins.yml").read_text(encoding="utf-8").replace("unit: mm", "unitt: mm")
    (contracts / "broken.yml").write_text(broken.replace("name: penguins\n", "name: broken\n"), encoding="utf-8")
    _tell.cache_clear()
    return contracts


@pytest.mark.usefixtures("folder")
def test_it_is_listed_with_what_is_wrong(world: ScoringWorld) -> None:
    listed = {each["dataset"]: each for each in json.loads(records.datasets(world.app).body)["datasets"]}

    assert set(listed) == {"broken", "crimes", "gas", "penguins"}
    assert "there is no such key; perhaps unit is meant" in listed["broken"]["error"]
    assert "error" not in listed["penguins"]


@pytest.mark.usefixtures("folder")
def test_a_dataset_of_it_is_invalid_and_others_go_on() -> None:
    world = World()
    broken = world.settle(world.drop("broken/all.csv", b"species\nGentoo\n"))
    sound = world.settle(world.drop("gas/first.csv", dataset()))

    assert (broken.state, sound.state) == ("invalid", "live")
    assert broken.error is not None
    assert broken.error.code == "invalid_contract"
    assert "broken.yml, line" in broken.error.message


@pytest.mark.usefixtures("folder")
def test_a_file_of_it_fails_with_what_is_wrong(world: ScoringWorld) -> None:
    run = world.score("broken/colony.csv", b"island\nDream\n")

    assert run.state == "failed"
    assert run.error is not None
    assert (run.error.code, "perhaps unit is meant" in run.error.message) == ("invalid_contract", True)


@pytest.mark.usefixtures("folder")
def test_the_log_says_what_is_wrong_once_however_often_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    assert [*sound_names(), *sound_names()] == ["crimes", "gas", "penguins"] * 2

    said = [each for each in caplog.records if each.name == "shared.contracts"]
    assert [(each.levelname, "perhaps unit is meant" in each.getMessage()) for each in said] == [("ERROR", True)]


def test_revisions_wait_until_it_is_mended_and_the_timer_goes_on(folder: Path, world: ScoringWorld) -> None:
    later = world.score("gas/1.csv", table(hourly(24, start=24)))
    world.score("gas/0.csv", table(hourly(24)))
    world.work()
    world.score("gas/0.csv", table(hourly(24, seed=6)))  # so soon after its first revision its second one waits
    sound = (folder / "gas.yml").read_text(encoding="utf-8")

    (folder / "gas.yml").write_text("name: gas\n", encoding="utf-8")
    load_contract.cache_clear()
    world.tick(timedelta(minutes=10))
    assert any(name.startswith("revisit/") for name in world.blobs.names(STATE))

    (folder / "gas.yml").write_text(sound, encoding="utf-8")
    load_contract.cache_clear()
    world.tick(timedelta(minutes=10))
    assert world.record(later).revision == 2


def test_a_training_under_way_waits_until_it_is_mended(folder: Path) -> None:
    world = World()
    run = world.look_until(world.drop("gas/first.csv", dataset()), "training")
    sound = (folder / "gas.yml").read_text(encoding="utf-8")

    (folder / "gas.yml").write_text("name: gas\n", encoding="utf-8")
    load_contract.cache_clear()
    for _ in range(3):
        world.look(run)
    waiting = world.read(run)
    assert waiting.error is not None
    assert (waiting.state in ("training", "evaluated"), waiting.error.code) == (True, "invalid_contract")

    (folder / "gas.yml").write_text(sound, encoding="utf-8")
    load_contract.cache_clear()
    assert world.settle(run).state == "live"
