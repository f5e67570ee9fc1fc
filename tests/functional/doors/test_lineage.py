"""A score is followed back to the dropped dataset, and a dataset on to what it scored."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest

from shared.naming import DATASETS
from shared.retraining.workspace import ModelVersion
from shared.runs import Run
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import MODEL, VERSION
from tests.fakes.workspace import FakeWorkspace
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import TRAINING_RUN, World, hourly, table

ASSET = {"name": "gas", "version": "0123456789ab-01234567", "path": f"gas/{TRAINING_RUN}/data.parquet"}
CONFIGURED: dict[str, Any] = {"aml_subscription_id": "s", "aml_resource_group": "g", "aml_workspace_name": "w"}


@pytest.fixture
def world(endpoint: FakeEndpoint) -> World:
    return World.build(endpoint, **CONFIGURED)


@pytest.fixture
def doors(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(world, monkeypatch)


def trained(world: World, name: str = "2025.csv", *, run: str = TRAINING_RUN, version: str | None = VERSION) -> Run:
    """The record of the run that made a model of a dataset that lies there."""
    world.blobs.put(DATASETS, f"gas/{name}", name.encode())
    etag = world.blobs.info(DATASETS, f"gas/{name}").etag
    made = Run(
        id=run,
        kind="train",
        dataset="gas",
        blob=f"datasets/gas/{name}",
        etag=etag,
        state="live" if version else "rejected",
        data={"sha256": "ab" * 32},
        asset=ASSET,
        model_version=version,
    )
    state = made.state
    return world.app.runs.create(made.entered(state, world.clock()))[0].run


def ask(doors: Doors, question: str) -> Any:
    answer = doors.call("GET", f"lineage/gas?{question}")
    assert answer.status == 200, answer.body
    return answer.json


def test_a_row_leads_to_the_dropped_dataset(doors: Doors, world: World) -> None:
    run = trained(world)
    scored = world.score("gas/november.csv", table(hourly(60)))
    found = ask(doors, "result=november.csv&line=3")

    (link,) = found["links"]
    assert found["asked"] == {"result": "november.csv", "line": 3}
    second = world.result("gas/november_scored.csv").decode().splitlines()[2].split(";")
    assert found["row"]["line"] == 3
    assert list(found["row"]["values"].values()) == second
    assert list(found["row"]["values"])[:3] == ["Fecha_Hora", "Caudal", "anomaly"]
    assert link["model"] == {"name": MODEL, "version": VERSION, "live": True}
    assert link["run"] == {"id": TRAINING_RUN, "state": "live"}
    assert link["data_asset"] == ASSET
    assert link["blob"] == {"name": run.blob, "etag": run.etag, "sha256": "ab" * 32, "unchanged": True}
    (file,) = link["scored"]
    assert (file["run"], file["blob"]) == (scored.id, "results/gas/november_scored.csv")
    assert file["input"]["blob"] == "incoming/gas/november.csv"


def test_a_result_is_found_by_any_name_it_goes_by(doors: Doors, world: World) -> None:
    trained(world)
    world.score("gas/november.csv", table(hourly(60)))
    names = ["november", "november.csv", "incoming/gas/november.csv", "results/gas/november_scored.csv", "gas/november"]

    for name in names:
        assert ask(doors, f"result={name}")["links"][0]["scored"][0]["blob"] == "results/gas/november_scored.csv"


def test_a_line_inside_quotes_belongs_to_its_row(doors: Doors, world: World) -> None:
    trained(world)
    rows = [(time, volume, '"one\ntwo"') for time, volume in hourly(60)]
    world.score("gas/notes.csv", table(rows))

    lines = [ask(doors, f"result=notes&line={line}")["row"]["values"] for line in (2, 3, 4)]
    assert lines[0] == lines[1] != lines[2]
    assert lines[0]["Medidor"] == "one\ntwo"


def test_a_field_of_any_length_is_read(doors: Doors, world: World) -> None:
    world.score("gas/notes.csv", table([(time, volume, "x" * 200_000) for time, volume in hourly(3)]))
    csv.field_size_limit(131_072)  # the module's own, as in a process that has read no file yet

    assert ask(doors, "result=notes&line=3")["row"]["values"]["Medidor"] == "x" * 200_000


def test_a_dataset_leads_to_the_files_that_its_model_scored(doors: Doors, world: World) -> None:
    trained(world)
    first = world.score("gas/november.csv", table(hourly(60)))
    second = world.score("gas/december.csv", table(hourly(60, start=60)))
    questions = ["blob=2025.csv", "blob=datasets/gas/2025.csv", f"asset={ASSET['version']}", f"model={VERSION}"]

    for question in [*questions, f"asset=gas:{ASSET['version']}"]:
        (link,) = ask(doors, question)["links"]
        assert [file["run"] for file in link["scored"]] == [second.id, first.id], question
        assert link["scored"][0]["blob"] == "results/gas/december_scored.csv"
        assert (link["model"]["version"], link["data_asset"]["version"]) == (VERSION, ASSET["version"])
    (link,) = ask(doors, "blob=2025.csv&limit=1")["links"]
    assert [file["run"] for file in link["scored"]] == [second.id]


def test_files_that_another_version_scored_are_not_this_ones(doors: Doors, world: World) -> None:
    trained(world)
    world.score("gas/november.csv", table(hourly(60)))

    trained(world, "2026.csv", run=TRAINING_RUN.replace("2026", "2027"), version="99")
    (link,) = ask(doors, "model=99")["links"]
    assert (link["blob"]["name"], link["scored"], link["model"]["live"]) == ("datasets/gas/2026.csv", [], False)


def test_a_dataset_that_came_to_nothing_says_so(doors: Doors, world: World) -> None:
    trained(world, version=None)
    (link,) = ask(doors, "blob=2025.csv")["links"]

    assert (link["model"], link["scored"], link["run"]["state"]) == (None, [], "rejected")


def test_a_dataset_that_was_replaced_is_not_the_one_that_was_trained_on(doors: Doors, world: World) -> None:
    trained(world)
    world.blobs.put(DATASETS, "gas/2025.csv", b"another")
    (link,) = ask(doors, "blob=2025.csv")["links"]
    assert link["blob"]["unchanged"] is False
    world.blobs.delete(DATASETS, "gas/2025.csv")

    assert ask(doors, "blob=2025.csv")["links"][0]["blob"]["unchanged"] is False


def test_without_its_runs_record_a_version_is_followed_by_its_tags(doors: Doors, world: World) -> None:
    workspace = world.app.workspace
    assert isinstance(workspace, FakeWorkspace)
    tags = {"run": TRAINING_RUN, "blob": "datasets/gas/x.csv", "etag": "0x1", "sha256": "cd" * 32}
    workspace.versions[MODEL] = [ModelVersion(MODEL, VERSION, tags | {"data_asset": "gas:0123-4567"})]
    scored = world.score("gas/november.csv", table(hourly(60)))

    for question in ("result=november", f"model={VERSION}"):
        (link,) = ask(doors, question)["links"]
        assert link["data_asset"] == {"name": "gas", "version": "0123-4567"}
        assert (link["run"]["id"], link["blob"]["name"]) == (TRAINING_RUN, "datasets/gas/x.csv")
        assert [file["run"] for file in link["scored"]] == [scored.id]


def test_a_model_that_nobody_knows_of_is_named_by_what_answered(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.build(endpoint)
    world.score("gas/november.csv", table(hourly(60)))
    (link,) = ask(Doors(world, monkeypatch), "result=november")["links"]

    assert (link["model"]["version"], link["run"], link["data_asset"], link["blob"]) == (VERSION, None, None, None)


def test_a_version_that_was_activated_is_the_run_that_made_it(doors: Doors, world: World) -> None:
    made = trained(world)
    world.clock.advance(timedelta(days=1))
    again = made.model_copy(update={"id": TRAINING_RUN.replace("00Z", "01Z"), "activated": {"run": made.id}})
    world.app.runs.create(again)

    assert [link["run"]["id"] for link in ask(doors, "blob=2025.csv")["links"]] == [made.id]
    assert ask(doors, f"model={VERSION}")["links"][0]["run"]["id"] == made.id


REFUSED = [
    ("", 400, "bad_question"),
    ("blob=a.csv&model=1", 400, "bad_question"),
    ("blob=a.csv&line=2", 400, "bad_question"),
    ("result=november&line=0", 400, "bad_line"),
    ("result=november&line=x", 400, "bad_line"),
    ("result=november&line=" + "9" * 5000, 400, "bad_line"),
    ("result=november&limit=0", 400, "bad_limit"),
    ("result=november&limit=1001", 400, "bad_limit"),
    ("result=december", 404, "no_result"),
    ("result=november&line=62", 404, "no_such_line"),
    ("result=november&line=1", 404, "no_such_line"),
    ("blob=a.csv", 404, "unknown_blob"),
    ("asset=1", 404, "unknown_asset"),
    ("model=1234", 404, "unknown_version"),
]


def test_what_cannot_be_followed_is_said(doors: Doors, world: World) -> None:
    trained(world)
    world.score("gas/november.csv", table(hourly(60)))

    for question, status, code in REFUSED:
        assert len(doors.call("GET", f"lineage/gas?{question}").problem(status, code)) > 20
    doors.call("GET", "lineage/water?blob=a").problem(404, "unknown_dataset")
