"""Every setting of the app, read once from the environment (the Function App's application settings)."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The app's settings; each field's docstring is its documentation, its upper-case name the variable's.

    Built by `shared.composition`, never at import, and passed to whoever needs it.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        populate_by_name=True,
        env_ignore_empty=True,
    )

    # -- storage ---------------------------------------------------------------------------------------------

    storage_connection: Annotated[SecretStr | None, Field(validation_alias="AzureWebJobsStorage")] = None
    """`AzureWebJobsStorage`: connection string of the storage account; leave it out to use the app's identity."""

    storage_blob_uri: Annotated[
        str | None,
        Field(validation_alias=AliasChoices("AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__serviceUri")),
    ] = None
    """`AzureWebJobsStorage__blobServiceUri`: blob service of the storage account, for identity-based connections."""

    storage_queue_uri: Annotated[str | None, Field(validation_alias="AzureWebJobsStorage__queueServiceUri")] = None
    """`AzureWebJobsStorage__queueServiceUri`: queue service of the storage account, for identity-based connections."""

    storage_account_name: Annotated[str | None, Field(validation_alias="AzureWebJobsStorage__accountName")] = None
    """`AzureWebJobsStorage__accountName`: the account alone, from which both services' addresses follow."""

    # -- triggers (function_app.py reads these two itself: the host needs them to index the functions) ---------

    blob_trigger_source: Literal["EventGrid", "LogsAndContainerScan"] = "EventGrid"
    """Where blob triggers come from: `EventGrid` (the only source on Flex Consumption) or `LogsAndContainerScan`."""

    reconcile_schedule: str = "0 * * * * *"
    """NCRONTAB schedule (seconds first) of the timer that moves runs on; the host itself needs it set."""

    # -- the endpoint, as in the earlier system ----------------------------------------------------------------

    aml_endpoint_url: str | None = None
    """Scoring URL of an endpoint that somebody else deployed; with the key alone, scoring works against it."""

    aml_endpoint_key: SecretStr | None = None
    """Key of that endpoint; without one the app's identity is used."""

    aml_endpoint_name: str = "dropscore-{dataset}"
    """Name of the managed online endpoint that retraining creates; `{dataset}` stands for the dataset's name."""

    aml_deployment_name: str | None = None
    """Pins every request to this deployment of the endpoint at `AML_ENDPOINT_URL`."""

    # -- the workspace ---------------------------------------------------------------------------------------

    aml_subscription_id: str | None = None
    """Subscription of the Azure ML workspace; without the three of them there is scoring, but no retraining."""

    aml_resource_group: str | None = None
    """Resource group of the workspace."""

    aml_workspace_name: str | None = None
    """Name of the workspace."""

    aml_compute: str = "cpu-cluster"
    """Compute target of training jobs."""

    aml_datastore: str = "dropscore"
    """Datastore of the workspace that is bound to the storage container `training`."""

    aml_instance_type: str = "Standard_DS3_v2"
    """Machine size of a deployment."""

    aml_instance_count: Annotated[int, Field(ge=1)] = 1
    """Machines of a deployment."""

    replay_files: Annotated[int, Field(ge=0)] = 3
    """So many of the files scored last are scored by a new deployment too before it goes into service; 0: none."""

    replay_rows: Annotated[int, Field(ge=1)] = 5_000
    """Rows of all those files together, at most."""

    canary_steps: Annotated[str, Field(pattern=r"^(\d{1,3}(,\d{1,3})*)?$")] = ""
    """Traffic in per cent that a new deployment takes step by step, e.g. `10,50,100`; empty: all at once."""

    canary_minutes: Annotated[float, Field(ge=0)] = 5
    """How long each of those steps is watched."""

    canary_max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Share of a step's probes that may fail (one always may) before the traffic goes back to the live model."""

    canary_max_seconds: Annotated[float, Field(gt=0)] = 5
    """A probe's answer that takes longer is an error."""

    arm_cloud_metadata_url: str | None = None
    """Azure's own variable for another cloud: where the resource manager describes itself (read by azure-ai-ml too)."""

    # -- scoring ---------------------------------------------------------------------------------------------

    score_wire: Literal["auto", "arrow", "json"] = "auto"
    """What requests to the endpoint carry: Arrow streams, JSON records, or Arrow until the endpoint answers 415."""

    score_rows_per_request: Annotated[int, Field(ge=1)] = 20_000
    """Rows of a file that go to the endpoint in one request (16 bytes a row for gas)."""

    score_bytes_per_request: Annotated[int, Field(ge=1)] = 1_500_000
    """Bytes of one request's body at most, whatever its rows; halved by itself where the endpoint takes less."""

    score_requests_in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests of one file that are under way at once."""

    score_request_timeout_seconds: Annotated[float, Field(gt=0)] = 90
    """How long one request may take; a managed endpoint never takes more than 180 s."""

    score_patience_seconds: Annotated[float, Field(ge=0)] = 120
    """How long a request is repeated against a throttling or dead endpoint before the file is left for later."""

    score_retry_minutes: Annotated[float, Field(gt=0)] = 2
    """How long a file waits before it is tried again after the endpoint was down; doubled each time, up to an hour."""

    score_claim_seconds: Annotated[float, Field(gt=0)] = 300
    """How long a scoring run belongs to one instance without a sign of life; afterwards another may take it over."""

    score_split_bytes: Annotated[int, Field(ge=0)] = 536_870_912
    """A larger text file in time order is scored in parts of about so many bytes, by many instances; 0 for never."""

    score_fallback: Literal["off", "bundle-when-down", "bundle-always"] = "off"
    """Who scores where no endpoint answers: nobody, the live model's bundle in process, or always the bundle, with no
    endpoint to pay for."""

    score_inline_max_bytes: Annotated[int, Field(ge=1)] = 10_000_000
    """Largest body that is scored at once by HTTP; a larger table goes through `incoming`."""

    # -- operations ------------------------------------------------------------------------------------------

    predict_batch_rows: int = Field(default=100, ge=1, le=10_000)
    """Rows that one request to `predict/batch` may have; larger tables go to `score`, or through `incoming`."""

    log_format: Literal["text", "json"] = "text"
    """How log lines look: as the host writes them, or a JSON object a line with run, dataset, blob, code and state."""

    retire_models_kept: Annotated[int, Field(ge=0)] = 0
    """Model versions of a dataset that stay unarchived, beside the live and the rollback one; 0 archives none."""

    retire_idle_deployment_hours: Annotated[float, Field(ge=0)] = 0
    """How long the old deployment stays after a promotion before it is deleted; 0 keeps it until the next promotion."""

    retire_training_days: Annotated[float, Field(ge=0)] = 0
    """After how many days the training data of a run that registered nothing is deleted; 0 keeps it."""

    retire_state_days: Annotated[float, Field(ge=0)] = 0
    """After how many days what was kept of files is deleted where no model, run or later file needs it; 0 keeps it."""

    # -- drift -----------------------------------------------------------------------------------------------

    retrain_on_drift: Literal["off", "persistent"] = "off"
    """Whether drift that persists starts a training on the last training set and the recent files after it."""

    retrain_drift_files: Annotated[int, Field(ge=2, le=400)] = 14
    """So many of the latest files are looked at: drift persists when both halves of them have drifted severely."""

    @field_validator("canary_steps")
    @classmethod
    def _climbs(cls, steps: str) -> str:
        shares = [int(share) for share in steps.split(",")] if steps else []
        if shares != sorted(set(shares)) or any(not 1 <= share <= 100 for share in shares):
            raise ValueError("the steps are ascending whole numbers from 1 to 100")
        return steps

    @property
    def canary_plan(self) -> tuple[int, ...]:
        """`canary_steps` as numbers."""
        return tuple(int(share) for share in self.canary_steps.split(",")) if self.canary_steps else ()

    def endpoint_name(self, dataset: str) -> str:
        """The endpoint of one dataset; Azure allows letters, digits and `-` in it."""
        return self.aml_endpoint_name.replace("{dataset}", dataset.replace("_", "-"))

    @property
    def workspace_configured(self) -> bool:
        """Whether the three names of the workspace are there."""
        return None not in (self.aml_subscription_id, self.aml_resource_group, self.aml_workspace_name)

    @property
    def resource_manager_url(self) -> str:
        """Base address of the resource manager, without a slash at the end."""
        if not self.arm_cloud_metadata_url:
            return "https://management.azure.com"
        parts = urlsplit(self.arm_cloud_metadata_url)
        return f"{parts.scheme}://{parts.netloc}"
