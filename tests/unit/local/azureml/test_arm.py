"""ARM's paths find their handlers, or an answer that says what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from local.azureml.arm import Answer, Call, Routes, workspace_segments
from local.azureml.config import Config
from local.azureml.errors import ArmError

CONFIG = Config(
    port=1,
    state=Path("state"),
    certificate=Path("cert"),
    key=Path("key"),
    blob_endpoint="http://127.0.0.1:1/a",
    account_name="a",
    account_key="a2V5",
    environments=Path("envs"),
)


async def _handler(call: Call) -> Answer:
    return Answer(body=list(call.names))


def test_paths_are_matched_without_regard_to_case_and_names_are_kept() -> None:
    routes = Routes()
    routes.add("GET", "onlineEndpoints/{}/deployments/{}", _handler)

    handler, names = routes.find("GET", ("onlineendpoints", "Gas-EP", "Deployments", "blue"))

    assert names == ("Gas-EP", "blue")
    assert asyncio.run(handler(Call(names, {}, {}))).body == ["Gas-EP", "blue"]


@pytest.mark.parametrize(
    ("method", "segments", "status"),
    [
        ("PUT", ("models",), 405),
        ("GET", ("featuresets",), 501),
        ("GET", ("models", ".."), 400),
        ("GET", ("models", "a%2fb"), 400),
    ],
)
def test_other_requests_are_refused(method: str, segments: tuple[str, ...], status: int) -> None:
    routes = Routes()
    routes.add("GET", "models", _handler)
    routes.add("GET", "models/{}", _handler)

    with pytest.raises(ArmError) as refusal:
        routes.find(method, segments)

    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/subscriptions/another/resourceGroups/local", "SubscriptionNotFound"),
        (f"/subscriptions/{CONFIG.subscription}/resourceGroups/another/providers/x", "ResourceGroupNotFound"),
        (f"{CONFIG.group_id}/providers/Microsoft.MachineLearningServices/workspaces/another", "ResourceNotFound"),
    ],
)
def test_another_workspace_is_not_found(path: str, code: str) -> None:
    with pytest.raises(ArmError) as refusal:
        workspace_segments(CONFIG, path)

    assert (refusal.value.status, refusal.value.code) == (404, code)


def test_what_follows_the_workspace() -> None:
    assert workspace_segments(CONFIG, CONFIG.workspace_id.upper() + "/Jobs/a") == ("Jobs", "a")
