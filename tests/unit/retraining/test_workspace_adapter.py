"""What the adapter makes of the SDK's answers, with a client that answers what it is told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from azure.ai.ml.exceptions import AssetPathException, ErrorTarget, MlException, ValidationException
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.identity import CredentialUnavailableError

from shared.errors import WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.azureml import AzureMLWorkspace, progress_of_job, progress_of_resource
from shared.retraining.workspace import DataAsset, JobStatus, ModelVersion, TrainingJob
from shared.settings import Settings

JOB = TrainingJob("gas-1", "gas", "run-1", "gas/run-1", 0.01, {"run": "run-1"})


class NoCredential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("nothing here goes over the network")


def workspace(**operations: dict[str, Callable[..., Any]]) -> AzureMLWorkspace:
    """The adapter over a client with these operations."""
    made = AzureMLWorkspace(Settings(), NoCredential())
    client = SimpleNamespace(**{name: SimpleNamespace(**calls) for name, calls in operations.items()})
    made.__dict__["_client"] = client  # where its cached property keeps it
    return made


def raising(error: Exception) -> Callable[..., NoReturn]:
    def call(*args: object, **options: object) -> NoReturn:
        raise error

    return call


def answered(status: int, kind: type[HttpResponseError] = HttpResponseError) -> HttpResponseError:
    error = kind(message="(Code) in words")
    error.status_code = status
    return error


UNAVAILABLE = [
    *[answered(status) for status in (408, 409, 429, 500, 502, 503, 504)],
    ServiceRequestError("connection refused"),
    ServiceResponseTimeoutError("read timed out"),
    CredentialUnavailableError("no managed identity endpoint answers"),
]
REFUSED = [
    *[answered(status) for status in (400, 403, 405, 412)],
    answered(401, ClientAuthenticationError),
    MlException(message="not so", no_personal_data_message="not so"),
    ValidationException(message="not so", no_personal_data_message="not so", target=ErrorTarget.JOB),
]


@pytest.mark.parametrize("error", UNAVAILABLE, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    for call in calls(error):
        with pytest.raises(WorkspaceUnavailableError) as caught:
            call()
        assert caught.value.code == "workspace_unavailable"
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_what_will_not_pass_is_refused_in_the_sdks_words(error: Exception) -> None:
    for call in calls(error):
        with pytest.raises(WorkspaceRefusedError) as caught:
            call()
        assert caught.value.code == "workspace_refused"
        assert caught.value.__cause__ is error
        assert "in words" in caught.value.message or "not so" in caught.value.message


def calls(error: Exception) -> list[Callable[[], object]]:
    """Every call of the protocol, each of whose requests fails in this way."""
    fails = raising(error)
    asset = {"get": fails, "create_or_update": fails, "list": fails}
    ours = workspace(
        jobs={**asset, "begin_cancel": fails},
        data=asset,
        environments=asset,
        models=asset,
        online_endpoints={"get": fails, "begin_create_or_update": fails},
        online_deployments={"get": fails, "begin_create_or_update": fails, "begin_delete": fails},
    )
    return [
        lambda: ours.register_data(DataAsset("gas", "1", "gas/run-1/data.parquet"), {}),
        lambda: ours.start_training(JOB),
        lambda: ours.job("gas-1"),
        lambda: ours.register("m", "gas-1", "run-1", {}),
        lambda: ours.models("m"),
        lambda: ours.endpoint("e"),
        lambda: ours.start_endpoint("e", "gas"),
        lambda: ours.deployment("e", "blue"),
        lambda: ours.start_deployment("e", "blue", ModelVersion("m", "1"), "run-1"),
        lambda: ours.start_traffic("e", {"blue": 100}),
        lambda: ours.cancel_job("gas-1"),
        lambda: ours.delete_deployment("e", "blue"),
    ]


def test_without_a_workspace_in_the_settings_it_says_which_are_missing() -> None:
    settings = Settings(aml_subscription_id="s", aml_resource_group=None, aml_workspace_name="w")

    with pytest.raises(WorkspaceRefusedError, match="AML_RESOURCE_GROUP") as caught:
        AzureMLWorkspace(settings, NoCredential()).job("x")

    assert caught.value.code == "workspace_not_configured"


def registered(*versions: tuple[str, str]) -> list[SimpleNamespace]:
    return [SimpleNamespace(version=version, tags={"run": run} if run else None) for version, run in versions]


class Models:
    """The SDK's models: lists what is there when it is asked, and refuses another path for a version that is."""

    def __init__(self, *seen: list[SimpleNamespace]) -> None:
        self._seen = list(seen)
        self.made: list[Any] = []

    def list(self, name: str, list_view_type: str) -> list[SimpleNamespace]:
        return self._seen.pop(0) if len(self._seen) > 1 else self._seen[0]

    def create_or_update(self, model: Any) -> Any:
        if model.version in [each.version for each in self._seen[-1]]:
            raise AssetPathException(
                message="taken", no_personal_data_message="taken", tartget=ErrorTarget.MODEL, target=ErrorTarget.MODEL
            )
        self.made.append(model)
        return model


def registry(models: Models) -> AzureMLWorkspace:
    return workspace(models={"list": models.list, "create_or_update": models.create_or_update})


@pytest.mark.parametrize(
    ("there", "version"),
    [
        ([], "1"),
        ([("9", "a"), ("10", "b"), ("2", "c")], "11"),
        ([("by hand", ""), ("3", "a")], "4"),
        ([("by hand", "")], "1"),
    ],
)
def test_a_version_is_the_number_after_the_highest_one(there: list[tuple[str, str]], version: str) -> None:
    models = Models(registered(*there))

    assert registry(models).register("m", "job", "mine", {"blob": "b"}) == version
    (made,) = models.made
    assert (made.version, made.path, made.tags) == (
        version,
        "azureml://jobs/job/outputs/model",
        {"blob": "b", "run": "mine"},
    )


def test_a_run_that_is_registered_is_not_registered_again() -> None:
    models = Models(registered(("1", "a"), ("2", "mine"), ("3", "b")))

    assert registry(models).register("m", "job", "mine", {}) == "2"
    assert models.made == []


def test_a_version_that_another_run_took_at_the_same_moment_is_tried_again_later() -> None:
    models = Models(registered(("1", "a")), registered(("1", "a"), ("2", "other")))

    with pytest.raises(WorkspaceUnavailableError) as caught:
        registry(models).register("m", "job", "mine", {})
    assert caught.value.code == "version_taken"

    assert registry(models).register("m", "job", "mine", {}) == "3"


def test_a_job_that_another_instance_submitted_at_the_same_moment_is_there() -> None:
    looks = iter(
        [None, SimpleNamespace(status="Running", studio_url="https://studio.test", properties=None, tags=None)]
    )

    def get(name: str) -> Any:
        found = next(looks)
        if found is None:
            raise answered(404, ResourceNotFoundError)
        return found

    here = {"get": lambda name, version: SimpleNamespace(name=name, version=version)}
    taken = raising(answered(400))

    workspace(jobs={"get": get, "create_or_update": taken}, data=here, environments=here).start_training(JOB)


def test_the_best_trial_of_a_sweep_is_the_one_that_its_properties_name() -> None:
    swept = SimpleNamespace(status="Completed", studio_url="u", properties={"best_child_run_id": "gas-1_3"}, tags={})
    plain = SimpleNamespace(status="Completed", studio_url="u", properties={}, tags={"run": "run-1"})
    found = [workspace(jobs={"get": lambda name, job=job: job}).job("gas-1") for job in (swept, plain)]

    assert found == [
        JobStatus("succeeded", "Completed", "u", "gas-1_3"),
        JobStatus("succeeded", "Completed", "u", None),
    ]


def test_the_best_child_of_automl_is_the_one_that_the_jobs_tags_name() -> None:
    tags = {
        "run": "run-1",
        "iteration_000": "0;1;2;3",
        "run_algorithm_000": "LightGBM;RandomForest;SVM;KNN",
        "run_preprocessor_000": "MaxAbsScaler;;StandardScaler;",
        "score_000": "0.9;0.95;nan;",
        "automl_best_child_run_id": "automl-1_1",
    }
    job = SimpleNamespace(status="Completed", studio_url="u", properties={}, tags=tags)

    found = workspace(jobs={"get": lambda name: job}).job("automl-1")

    assert found is not None
    assert found.best == "automl-1_1"
    assert [(each["job"], each["algorithm"], each["preprocessor"], each["value"]) for each in found.tried] == [
        ("automl-1_0", "LightGBM", "MaxAbsScaler", 0.9),
        ("automl-1_1", "RandomForest", "", 0.95),
        ("automl-1_2", "SVM", "StandardScaler", None),
        ("automl-1_3", "KNN", "", None),
    ]


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        *[(status, "under way") for status in ("NotStarted", "Starting", "Provisioning", "Preparing", "Queued")],
        *[(status, "under way") for status in ("Running", "Finalizing", "CancelRequested", "NotResponding", "Paused")],
        ("Completed", "succeeded"),
        ("Failed", "failed"),
        ("Canceled", "canceled"),
    ],
)
def test_every_status_of_a_job_means_something(status: str, progress: str) -> None:
    assert progress_of_job(status) == progress


@pytest.mark.parametrize(
    ("state", "progress"),
    [
        *[(state, "under way") for state in ("Creating", "Updating", "Scaling", "Deleting", None)],
        ("Succeeded", "succeeded"),
        ("Failed", "failed"),
        ("Canceled", "canceled"),
    ],
)
def test_every_provisioning_state_means_something(state: str | None, progress: str) -> None:
    assert progress_of_resource(state) == progress


@pytest.mark.parametrize(("said", "seconds"), [("120", 120), ("Fri, 21 Nov 2026 12:00:00 GMT", None), (None, None)])
def test_a_throttling_workspace_says_how_long_it_wants_to_be_left_alone(said: str | None, seconds: int | None) -> None:
    error = answered(429)
    error.response = SimpleNamespace(headers={} if said is None else {"Retry-After": said})

    with pytest.raises(WorkspaceUnavailableError) as caught:
        workspace(jobs={"get": raising(error)}).job("gas-1")
    assert caught.value.where.get("retry_after") == seconds


def test_a_quota_that_is_refused_has_a_code_of_its_own() -> None:
    error = answered(400)
    error.message = "(BadRequest) Not enough quota available for Standard_DS3_v2."

    with pytest.raises(WorkspaceRefusedError) as caught:
        workspace(online_deployments={"get": raising(error)}).deployment("e", "blue")
    assert caught.value.code == "quota_exceeded"


def test_what_is_not_there_need_not_be_undone() -> None:
    gone = raising(answered(404, ResourceNotFoundError))
    ours = workspace(jobs={"begin_cancel": gone}, online_deployments={"begin_delete": gone})

    ours.cancel_job("gas-1")
    ours.delete_deployment("e", "blue")


class DataAssets:
    """The SDK's data assets: `others` are there before this client's own, and may not be given another path."""

    def __init__(self, others: dict[str, str], *, seen: bool) -> None:
        self.there, self._others, self._seen = dict(others) if seen else {}, others, seen

    def get(self, name: str, version: str) -> SimpleNamespace:
        if version not in self.there:
            raise ResourceNotFoundError("no such version")
        return SimpleNamespace(path=f"azureml://subscriptions/s/datastores/d/paths/{self.there[version]}")

    def create_or_update(self, data: Any) -> None:
        if data.version in self._others:
            self.there = dict(self._others)
            raise answered(400)
        self.there[data.version] = data.path.partition("/paths/")[2]


@pytest.mark.parametrize(("others", "seen"), [({}, False), ({"1": "gas/a/data.parquet"}, True)])
def test_a_data_asset_that_is_there_is_returned_as_it_is(others: dict[str, str], seen: bool) -> None:
    client = DataAssets(others, seen=seen)
    ours = workspace(data={"get": client.get, "create_or_update": client.create_or_update})
    asset = DataAsset("gas", "1", "gas/b/data.parquet")

    found = [ours.register_data(asset, {"run": "b"}) for _ in range(2)]

    assert found == [DataAsset("gas", "1", others.get("1", asset.path))] * 2


def test_an_instance_that_was_slower_gets_the_data_asset_of_the_quicker_one() -> None:
    client = DataAssets({"1": "gas/a/data.parquet"}, seen=False)
    ours = workspace(data={"get": client.get, "create_or_update": client.create_or_update})

    assert ours.register_data(DataAsset("gas", "1", "gas/b/data.parquet"), {}).path == "gas/a/data.parquet"
