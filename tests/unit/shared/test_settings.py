"""Settings as they stand in a Function App's configuration."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AzureWebJobsStorage", "AML_ENDPOINT_URL", "AML_ENDPOINT_KEY", "ARM_CLOUD_METADATA_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_names_of_the_earlier_system_and_of_the_platform_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "AML_ENDPOINT_URL": "https://x.test/score",
        "AML_ENDPOINT_KEY": "secret",
        "AML_ENDPOINT_NAME": "mine",
        "AML_DEPLOYMENT_NAME": "blue",
        "SCORE_ROWS_PER_REQUEST": "10",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.storage_connection is not None
    assert settings.storage_connection.get_secret_value() == "UseDevelopmentStorage=true"
    assert (settings.aml_endpoint_url, settings.aml_deployment_name) == ("https://x.test/score", "blue")
    assert settings.aml_endpoint_key is not None
    assert settings.aml_endpoint_key.get_secret_value() == "secret"
    assert settings.endpoint_name("gas") == "mine"
    assert settings.score_rows_per_request == 10
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("name", ["AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__serviceUri"])
def test_an_identity_based_connection_is_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "https://a.blob.test")
    monkeypatch.setenv("AzureWebJobsStorage__queueServiceUri", "https://a.queue.test")
    monkeypatch.setenv("AzureWebJobsStorage__accountName", "a")

    settings = Settings()

    assert (settings.storage_blob_uri, settings.storage_queue_uri) == ("https://a.blob.test", "https://a.queue.test")
    assert settings.storage_account_name == "a"
    assert settings.storage_connection is None


def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_ENDPOINT_URL", "")
    monkeypatch.setenv("SCORE_ROWS_PER_REQUEST", "")

    assert Settings().aml_endpoint_url is None
    assert Settings().score_rows_per_request == 20_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCORE_ROWS_PER_REQUEST", "0"),
        ("SCORE_REQUESTS_IN_FLIGHT", "65"),
        ("SCORE_WIRE", "xml"),
        ("SCORE_WIRE", "JSON"),
        ("BLOB_TRIGGER_SOURCE", "Polling"),
        ("SCORE_CLAIM_SECONDS", "0"),
        ("AML_INSTANCE_COUNT", "none"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.lower() + "|" + name):
        Settings()


def test_what_follows_from_the_settings() -> None:
    assert Settings().endpoint_name("gas_north") == "dropscore-gas-north"
    assert not Settings(aml_subscription_id="s", aml_resource_group="g").workspace_configured
    assert Settings(aml_subscription_id="s", aml_resource_group="g", aml_workspace_name="w").workspace_configured
    assert Settings().resource_manager_url == "https://management.azure.com"
    elsewhere = Settings(arm_cloud_metadata_url="https://localhost:10010/metadata/endpoints?api-version=1")
    assert elsewhere.resource_manager_url == "https://localhost:10010"
    with pytest.raises(ValidationError, match="frozen"):
        elsewhere.score_wire = "json"
