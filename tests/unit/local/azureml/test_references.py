"""Ways to refer to data and assets all lead to the same place."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.azureml.arm import resource
from local.azureml.blobs import Blobs, Location
from local.azureml.config import Config
from local.azureml.errors import ArmError, Json
from local.azureml.references import References
from local.azureml.store import Store

MODEL = Location("training", "gas/r1/model")
# how Azurite's account is named and keyed everywhere
ACCOUNT = "devstoreaccount1"
ENDPOINT = f"http://127.0.0.1:10000/{ACCOUNT}"


@pytest.fixture
def references(tmp_path: Path) -> References:
    config = Config(
        port=1,
        state=tmp_path,
        certificate=tmp_path,
        key=tmp_path,
        blob_endpoint=ENDPOINT,
        account_name=ACCOUNT,
        account_key="a2V5",
        environments=tmp_path,
    )
    store = Store(tmp_path / "resources")
    uri = "azureml://datastores/dropscore/paths/gas/r1/model/"
    documents: dict[str, Json] = {
        "datastores/dropscore": {"containerName": "training"},
        "jobs/train": {"outputs": {"model": {"uri": uri}}},
        "models/gas/versions/1": {"modelUri": "azureml://datastores/dropscore/paths/gas/r0/model"},
        "models/gas/versions/2": {"modelUri": uri},
    }
    for key, properties in documents.items():
        store.put(key, resource(config, key, properties))
    return References(config, store, Blobs(config))


@pytest.mark.parametrize(
    "reference",
    [
        "azureml://datastores/dropscore/paths/gas/r1/model",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/dropscore/paths/gas/r1/model/",
        "azureml://subscriptions/s/resourceGroups/g/workspaces/w/datastores/dropscore/paths/gas/r1/model",
        "azureml://jobs/train/outputs/model",
        "azureml://jobs/train/outputs/model/paths/",
        "azureml:gas:2",
        "azureml:gas@latest",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/models/gas/versions/2",
        f"{ENDPOINT}/training/gas/r1/model",
        f"https://{ACCOUNT}.blob.core.windows.net/training/gas/r1/model?sv=signature",
    ],
)
def test_every_form_leads_to_the_model(references: References, reference: str) -> None:
    assert references.location(reference, kind="models") == MODEL


def test_a_path_below_a_job_output(references: References) -> None:
    assert references.location("azureml://jobs/train/outputs/model/paths/deep/x.json") == Location(
        "training", "gas/r1/model/deep/x.json"
    )


def test_a_job_output_is_stored_with_the_workspace_and_the_job(references: References) -> None:
    uri, job = references.long_uri("azureml://jobs/train/outputs/model")

    assert job == "train"
    assert uri.startswith("azureml://subscriptions/")
    assert uri.endswith("/resourceGroups/local/workspaces/local/datastores/dropscore/paths/gas/r1/model")


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("azureml://datastores/nowhere/paths/x", 404),
        ("azureml://jobs/nothing/outputs/model", 404),
        ("azureml://jobs/train/outputs/nothing", 404),
        ("azureml:gas:3", 404),
        ("https://elsewhere.blob.core.windows.net/training/x", 400),
        ("/etc/passwd", 400),
    ],
)
def test_what_leads_nowhere_is_refused(references: References, reference: str, status: int) -> None:
    with pytest.raises(ArmError) as refusal:
        references.location(reference, kind="models")

    assert refusal.value.status == status
