"""Models, endpoints, deployments and the scoring plane, by the real SDK and plain HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    OnlineRequestSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator

from .conftest import ended, training_job, until

ENDPOINT = "serving"


@dataclass(frozen=True)
class Serving:
    """An endpoint with two deployments of two versions of a model; blue has the traffic."""

    client: MLClient
    uri: str
    key: str
    code: Path
    environment: str

    def deployment(self, name: str, version: str = "1", **variables: str) -> ManagedOnlineDeployment:
        return ManagedOnlineDeployment(
            name=name,
            endpoint_name=ENDPOINT,
            model=f"azureml:weights:{version}",
            environment=self.environment,
            code_configuration=CodeConfiguration(code=str(self.code), scoring_script="score.py"),
            instance_type="Standard_DS3_v2",
            instance_count=1,
            environment_variables={"COLOUR": name, **variables},
            request_settings=OnlineRequestSettings(request_timeout_ms=2000, max_concurrent_requests_per_instance=1),
        )

    def route(self, **traffic: int) -> None:
        endpoint = self.client.online_endpoints.get(ENDPOINT)
        endpoint.traffic = dict(traffic)
        self.client.online_endpoints.begin_create_or_update(endpoint).result()

    def score(
        self, order: str = "", to: str | None = None, key: str | None = None, body: bytes = b""
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", "x-order": order}
        if to:
            headers["azureml-model-deployment"] = to
        return requests.post(self.uri, data=body, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def serving(client: MLClient, code: Path, environment: str, blobs: BlobServiceClient) -> Iterator[Serving]:
    blobs.get_blob_client("training", "serving/data.txt").upload_blob(b"21", overwrite=True)
    data = "azureml://datastores/dropscore/paths/serving/data.txt"
    for factor in (1.0, 2.0):
        output = f"azureml://datastores/dropscore/paths/serving/{factor}/model"
        job = client.jobs.create_or_update(training_job(code, environment, data, output, factor))
        assert ended(client, job.name).status == "Completed"
        path = f"azureml://jobs/{job.name}/outputs/model"
        client.models.create_or_update(Model(name="weights", path=path, type="custom_model", tags={"job": job.name}))
    endpoint = client.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name=ENDPOINT, auth_mode="key")
    ).result()
    ready = Serving(
        client, endpoint.scoring_uri, client.online_endpoints.get_keys(ENDPOINT).primary_key, code, environment
    )
    begun = [
        client.online_deployments.begin_create_or_update(ready.deployment(name, version))
        for name, version in (("blue", "1"), ("green", "2"))
    ]
    assert [poller.result().provisioning_state for poller in begun] == ["Succeeded", "Succeeded"]
    ready.route(blue=100)
    yield ready
    client.online_endpoints.begin_delete(ENDPOINT).result()
    with pytest.raises(ResourceNotFoundError):
        client.online_endpoints.get(ENDPOINT)


def test_every_registration_is_a_new_version_with_its_tags(serving: Serving) -> None:
    versions = {model.version: model for model in serving.client.models.list("weights")}

    assert sorted(versions) == ["1", "2"]
    assert serving.client.models.get("weights", label="latest").version == "2"
    assert versions["2"].tags == {"job": versions["2"].job_name}
    assert versions["2"].path.endswith("/datastores/dropscore/paths/serving/2.0/model")


def test_traffic_is_swapped_and_a_pin_reaches_a_deployment_without_any(serving: Serving) -> None:
    serving.route(blue=100)
    before, pinned = serving.score(), serving.score(to="green")
    serving.route(green=100)
    after = serving.score()
    serving.route(blue=100)

    assert [answer.json()["weights"] for answer in (before, pinned, after)] == ["21.0", "42.0", "42.0"]
    assert [answer.headers["azureml-model-deployment"] for answer in (before, pinned, after)] == [
        "blue",
        "green",
        "green",
    ]
    assert before.headers["x-ms-request-id"] and before.headers["x-request-id"]
    # the model lies below its name and version, as in the cloud
    assert before.json()["model"].endswith("/azureml-models/weights/1")


@pytest.mark.parametrize("traffic", [{"blue": 60, "green": 30}, {"red": 100}])
def test_traffic_that_cannot_be_is_refused(serving: Serving, traffic: dict[str, int]) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        serving.route(**traffic)

    assert refusal.value.status_code == 400
    assert serving.client.online_endpoints.get(ENDPOINT).traffic == {"blue": 100, "green": 0}


def test_a_deployment_with_traffic_cannot_be_deleted(serving: Serving) -> None:
    with pytest.raises(HttpResponseError, match="100 percent of the traffic"):
        serving.client.online_deployments.begin_delete(name="blue", endpoint_name=ENDPOINT).result()

    assert serving.score().status_code == 200


def test_what_the_container_refuses_comes_wrapped(serving: Serving) -> None:
    answer = serving.score("refuse")

    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "400"
    assert answer.headers["ms-azureml-model-error-reason"] == "model_error"
    assert answer.json() == {"error": "no such column"}


def test_the_router_answers_for_itself(serving: Serving) -> None:
    answers = {
        401: serving.score(key="another key"),
        404: serving.score(to="red"),
        408: serving.score("sleep 2.5", to="green"),
        502: serving.score("crash", to="blue"),
    }

    assert [answer.status_code for answer in answers.values()] == list(answers)
    assert all(answer.json()["error"]["code"] and answer.headers["x-ms-request-id"] for answer in answers.values())
    assert until(lambda: (serving.score(to="green").ok and serving.score(to="blue").ok) or None)


def test_more_than_twice_the_concurrency_is_too_many(serving: Serving) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: serving.score("sleep 0.7").status_code, range(8)))

    # one runs and one waits; how many more come later, when there is room again, is up to the machine
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 2


def test_a_big_body_goes_through_unchanged(serving: Serving) -> None:
    body = os.urandom(8 * 1024 * 1024)

    answer = serving.score("echo", body=body)

    assert answer.content == body
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_deployment_is_updated_in_place_and_keeps_serving(serving: Serving) -> None:
    assert serving.score(to="green").json()["colour"] == "green"

    changed = serving.deployment("green", "2", COLOUR="teal")
    begun = serving.client.online_deployments.begin_create_or_update(changed)
    during = serving.score(to="green")
    begun.result()

    assert during.status_code == 200
    assert serving.score(to="green").json() | {"model": ""} == {"weights": "42.0", "colour": "teal", "model": ""}
    serving.client.online_deployments.begin_create_or_update(serving.deployment("green", "2")).result()


def test_a_deployment_that_does_not_start_fails_with_its_log(serving: Serving) -> None:
    with pytest.raises(HttpResponseError, match="these weights do not fit"):
        serving.client.online_deployments.begin_create_or_update(serving.deployment("red", BREAK="init")).result()

    assert serving.client.online_deployments.get("red", ENDPOINT).provisioning_state == "Failed"
    assert "these weights do not fit" in serving.client.online_deployments.get_logs("red", ENDPOINT, lines=200)
    serving.client.online_deployments.begin_delete(name="red", endpoint_name=ENDPOINT).result()


def test_a_server_that_dies_is_started_again(serving: Serving, azureml: AzureMLEmulator) -> None:
    servers = _servers(azureml)
    assert set(servers.values()) >= {"blue", "green"}

    for server in servers:
        psutil.Process(server).kill()

    def restarted() -> bool | None:
        # the workers of a killed server answer for a moment longer: only another process is a new server
        now = _servers(azureml)
        return (not set(now) & set(servers) and set(now.values()) >= set(servers.values())) or None

    assert until(restarted)
    assert until(lambda: (serving.score().ok and serving.score(to="green").ok) or None)


def _servers(azureml: AzureMLEmulator) -> dict[int, str]:
    """The colours of this endpoint's running servers by their process ids."""
    found = {}
    for process in psutil.Process(azureml.child.pid).children():
        with suppress(psutil.Error):
            found[process.pid] = process.environ().get("COLOUR", "")
    return {server: colour for server, colour in found.items() if colour in ("blue", "green")}


def test_a_key_that_was_replaced_opens_nothing(serving: Serving) -> None:
    before = serving.client.online_endpoints.get_keys(ENDPOINT)

    serving.client.online_endpoints.begin_regenerate_keys(ENDPOINT, key_type="secondary").result()

    after = serving.client.online_endpoints.get_keys(ENDPOINT)
    statuses = [serving.score(key=key).status_code for key in (before.secondary_key, after.secondary_key, serving.key)]
    assert statuses == [401, 200, 200]


@pytest.mark.parametrize("mode", ["aml_token", "aad_token"])
def test_tokens_open_the_endpoints_that_take_them(client: MLClient, mode: str) -> None:
    name = mode.replace("_", "-")
    endpoint = client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode=mode)).result()
    good = (
        client.online_endpoints.get_keys(name).access_token
        if mode == "aml_token"
        else DefaultAzureCredential().get_token("https://ml.azure.com/.default").token
    )
    foreign = DefaultAzureCredential().get_token("https://management.azure.com/.default").token

    statuses = [
        requests.post(endpoint.scoring_uri, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code
        for token in (good, foreign, good[:-2])
    ]

    # 404: let in, and nothing is deployed
    assert statuses == [404, 401, 401]
