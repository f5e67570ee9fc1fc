"""Scoring with the live model's bundle in process: when, by which code, and what it leaves in the manifest."""

from __future__ import annotations

import io
from typing import Any, cast

import joblib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml.bundle import save_bundle
from shared.errors import EndpointUnavailableError
from shared.naming import RESULTS, TRAINING
from shared.scoring.bundle import Bundles
from shared.tables import RecordsSource
from tests.fakes.endpoint import FakeEndpoint, Mood, Received, Reply, first, poisoned_by, refusal
from tests.fakes.model import MODEL, VERSION
from tests.functional.scoring.world import GAS, TRAINING_RUN, World, hourly, rows_of, table

_PLACE = f"gas/{TRAINING_RUN}/model/bundle.joblib"
_FILE = table([*hourly(60, meter="north"), *hourly(70, meter="south", seed=6)])
_DOWN: dict[str, tuple[Mood, str]] = {
    "down": (refusal(503), "endpoint_failed"),
    "throttled": (refusal(429), "endpoint_throttled"),
    "without a deployment": (refusal(404), "endpoint_missing"),
    "refusing the app": (refusal(401), "endpoint_unauthorized"),
}


@pytest.fixture(scope="module")
def bundle(running_endpoint: FakeEndpoint, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bundle of the very model that the endpoint serves."""
    folder = tmp_path_factory.mktemp("bundle")
    return save_bundle(folder, running_endpoint.pipeline, GAS, cast(Any, {})).read_bytes()


def _world(endpoint: FakeEndpoint, bundle: bytes | None, **changes: Any) -> World:
    world = World.build(endpoint, **changes)
    if bundle is not None:
        world.blobs.put(TRAINING, _PLACE, bundle)
    return world


@pytest.mark.parametrize("trouble", _DOWN)
def test_a_bundle_answers_for_an_endpoint_that_does_not(endpoint: FakeEndpoint, bundle: bytes, trouble: str) -> None:
    expected = World.build(endpoint).scored("gas/x.csv", _FILE)
    world = _world(endpoint, bundle, score_fallback="bundle-when-down", score_patience_seconds=5)
    endpoint.mood = _DOWN[trouble][0]

    run = world.score("gas/x.csv", _FILE)

    assert run.state == "completed", run.error
    assert world.result("gas/x_scored.csv") == expected
    about = world.manifest(run)
    assert about["scored_by"] == "bundle"
    assert about["model"] == {"name": MODEL, "version": VERSION, "deployment": None, "training_run": TRAINING_RUN}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows_per_request=st.integers(1, 140),
    bytes_per_request=st.sampled_from([1, 700, 1_500_000]),
    wire=st.sampled_from(["auto", "arrow", "json"]),
    answered=st.integers(0, 4),
)
def test_the_bytes_do_not_depend_on_who_scores(
    running_endpoint: FakeEndpoint,
    bundle: bytes,
    rows_per_request: int,
    bytes_per_request: int,
    wire: str,
    answered: int,
) -> None:
    running_endpoint.calm()
    expected = World.build(running_endpoint).scored("gas/x.csv", _FILE)
    sizes = {"score_rows_per_request": rows_per_request, "score_bytes_per_request": bytes_per_request}
    always = _world(running_endpoint, bundle, score_fallback="bundle-always", score_wire=wire, **sizes)
    broken = _world(running_endpoint, bundle, score_fallback="bundle-when-down", score_wire=wire, **sizes)
    seen: list[Received] = []

    def down_after(received: Received) -> Reply | None:
        seen.append(received)
        return Reply(503) if len(seen) > answered else None

    assert always.scored("gas/x.csv", _FILE) == expected
    running_endpoint.mood = down_after
    assert broken.scored("gas/x.csv", _FILE) == expected


def test_an_endpoint_that_goes_down_in_mid_file_is_not_waited_for_twice(endpoint: FakeEndpoint, bundle: bytes) -> None:
    changes = {"score_fallback": "bundle-when-down", "score_patience_seconds": 30, "score_requests_in_flight": 1}
    world = _world(endpoint, bundle, **changes, score_rows_per_request=10)
    seen: list[Received] = []

    def down_after_two(received: Received) -> Reply | None:
        seen.append(received)
        return Reply(503) if len(seen) > 2 else None

    endpoint.mood = down_after_two
    run = world.score("gas/x.csv", _FILE)

    assert world.manifest(run)["scored_by"] == "both"
    assert world.manifest(run)["requests"]["count"] == 13
    assert sum(world.clock.slept) < 30


def test_without_an_endpoint_to_pay_for_the_bundle_alone_is_asked(endpoint: FakeEndpoint, bundle: bytes) -> None:
    expected = World.build(endpoint).scored("gas/x.csv", _FILE)
    world = _world(endpoint, bundle, score_fallback="bundle-always")
    endpoint.received.clear()

    run = world.score("gas/x.csv", _FILE)
    inline = world.app.inline.score(GAS, RecordsSource([{"FechaHora": "2026-03-02 00:00:00", "VolCorrected": 1.5}]))

    assert (world.result("gas/x_scored.csv"), world.manifest(run)["scored_by"]) == (expected, "bundle")
    assert inline.body["scored_by"] == "bundle"
    assert endpoint.received == []


def test_an_endpoint_that_answers_is_what_scores(endpoint: FakeEndpoint, bundle: bytes) -> None:
    world = _world(endpoint, bundle, score_fallback="bundle-when-down", score_patience_seconds=20)
    endpoint.mood = first(2, refusal(503))

    run = world.score("gas/x.csv", _FILE)

    assert world.manifest(run)["scored_by"] == "endpoint"
    assert world.manifest(run)["model"]["deployment"] == "blue"


def test_off_means_that_the_file_waits(endpoint: FakeEndpoint, bundle: bytes) -> None:
    world = _world(endpoint, bundle)
    endpoint.mood = refusal(503)

    assert world.score("gas/x.csv", _FILE).state == "waiting"


def test_an_endpoint_of_somebody_elses_has_no_bundle(endpoint: FakeEndpoint, bundle: bytes) -> None:
    world = _world(endpoint, bundle, score_fallback="bundle-when-down", aml_endpoint_url=endpoint.url)
    endpoint.mood = refusal(503)

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", "endpoint_failed")


def _of_other_versions(bundle: bytes) -> bytes:
    content = joblib.load(io.BytesIO(bundle))
    content["versions"]["scikit-learn"] = "1.0.0"
    changed = io.BytesIO()
    joblib.dump(content, changed)
    return changed.getvalue()


@pytest.mark.parametrize("fallback", ["bundle-when-down", "bundle-always"])
@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("none", "bundle_missing", f"training/gas/{TRAINING_RUN}/model"),
        ("rubbish", "bundle_unusable", "not a model bundle"),
        ("other versions", "bundle_unusable", "scikit-learn 1.0.0"),
    ],
)
def test_a_bundle_that_cannot_be_had_leaves_the_file_waiting_and_says_why(
    endpoint: FakeEndpoint, bundle: bytes, fallback: str, case: str, code: str, words: str
) -> None:
    found = {"none": None, "rubbish": b"rubbish", "other versions": _of_other_versions(bundle)}[case]
    world = _world(endpoint, found, score_fallback=fallback)
    endpoint.mood = refusal(503)

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", code)
    assert run.error is not None
    assert words in run.error.message
    assert ("answered 503" in run.error.message) == (fallback == "bundle-when-down")
    assert world.blobs.names(RESULTS) == []


def test_a_row_that_the_bundle_refuses_alone_carries_an_error(endpoint: FakeEndpoint, bundle: bytes) -> None:
    endpoint.mood = poisoned_by(-1.25)
    rows = hourly(90)
    rows[30] = (rows[30][0], "-1,25")
    expected = rows_of(World.build(endpoint).scored("gas/x.csv", table(rows)))

    class Refusing(Bundles):
        def service(self, dataset: str, run: str, model: str, version: str) -> Any:
            real = super().service(dataset, run, model, version)

            class Service:
                def answer(self, content_type: str, body: bytes) -> Any:
                    received = Received(content_type, {}, body)
                    if -1.25 in received.columns["VolCorrected"]:
                        return Reply(400, b'{"error": "refused"}')
                    return real.answer(content_type, body)

            return Service()

    world = _world(endpoint, bundle, score_fallback="bundle-always")
    world.app.targets._bundles = Refusing(world.blobs)
    got = rows_of(world.scored("gas/x.csv", table(rows)))

    assert [row[:4] for row in got] == [row[:4] for row in expected]
    assert [place for place, row in enumerate(got) if row[-1]] == [30]


def test_a_bundle_is_opened_once_for_many_files_and_anew_for_another_model(
    endpoint: FakeEndpoint, bundle: bytes
) -> None:
    world = _world(endpoint, bundle)
    bundles = Bundles(world.blobs)

    opened = bundles.service("gas", TRAINING_RUN, MODEL, VERSION)

    assert bundles.service("gas", TRAINING_RUN, MODEL, VERSION) is opened
    with pytest.raises(EndpointUnavailableError):
        bundles.service("gas", "another run", MODEL, "8")


@pytest.mark.parametrize("fallback", ["bundle-when-down", "bundle-always"])
def test_a_model_without_an_endpoint_is_answered_for_by_its_bundle(
    endpoint: FakeEndpoint, bundle: bytes, fallback: str
) -> None:
    expected = World.build(endpoint).scored("gas/x.csv", _FILE)
    world = _without_endpoint(_world(endpoint, bundle, score_fallback=fallback))
    endpoint.mood = refusal(503)

    run = world.score("gas/x.csv", _FILE)

    assert run.state == "completed", run.error
    assert world.result("gas/x_scored.csv") == expected
    assert world.manifest(run)["model"]["deployment"] is None


def test_a_model_without_an_endpoint_waits_where_its_bundle_must_not_answer(
    endpoint: FakeEndpoint, bundle: bytes
) -> None:
    world = _without_endpoint(_world(endpoint, bundle))

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", "endpoint_missing")


def _without_endpoint(world: World) -> World:
    live, etag = world.app.live.held("gas")
    assert live is not None
    world.app.live.put(live.model_copy(update={"endpoint": "", "deployment": "", "scoring_uri": ""}), etag)
    return world
