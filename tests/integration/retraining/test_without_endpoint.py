"""With `SCORE_FALLBACK=bundle-always`: from a dropped dataset to a scored file by real jobs, and never an endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from shared.naming import RESULTS
from tests.integration.azureml.conftest import applied
from tests.integration.retraining.loop import Loop


@pytest.fixture
def loop(azureml: AzureMLEmulator, azurite: Azurite, tmp_path: Path) -> Iterator[Loop]:
    """An app whose models' bundles answer."""
    settings = {"aml_endpoint_name": "never-{dataset}", "score_fallback": "bundle-always"}
    with (
        applied(azureml.client_environment()),
        BlobServiceClient.from_connection_string(azurite.connection_string) as service,
    ):
        yield Loop(service, f"{azureml.url}/faults", tmp_path, **settings)


def test_a_dropped_dataset_becomes_a_live_model_that_scores_files_without_any_endpoint(loop: Loop) -> None:
    trained = loop.settle(loop.drop("gas/first.csv"))
    scored = loop.score("gas/recent.csv")
    manifest = json.loads(loop.blobs.get(RESULTS, "gas/recent_manifest.json")[0])
    later = loop.settle(loop.registered())

    assert (trained.state, trained.endpoint) == ("live", None), trained.error
    assert (scored.state, scored.counts and scored.counts["scored"]) == ("completed", 72), scored.error
    assert (manifest["scored_by"], manifest["model"]["training_run"]) == ("bundle", trained.id)
    assert manifest["drift"]["training_run"] == trained.id
    assert (later.state, later.replay and later.replay["rows"]) == ("live", 72), later.error
    assert later.replay is not None
    assert (later.replay["compared"], later.replay["errors"]) == (72, 0)
    assert [each.name for each in loop.client.online_endpoints.list() if each.name.startswith("never-")] == []
