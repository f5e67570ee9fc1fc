"""The one adapter of the seam to Azure ML: the azure-ai-ml SDK, locally and in the cloud.

Importing azure-ai-ml costs 1.2-2 s and 90 MB, so it is imported when the adapter is first used; the app uses it in a
process of its own, see `shared.retraining.remote`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from shared.errors import WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.jobs import file_of, own_changes
from shared.retraining.workspace import (
    UNAVAILABLE,
    DataAsset,
    Deployment,
    Endpoint,
    JobStatus,
    ModelVersion,
    Progress,
    TrainingJob,
)
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Environment

_AML = Path(__file__).resolve().parents[2] / "aml"
_ENVIRONMENT = "dropscore-model"
_OF_CHILDREN = ("iteration", "run_algorithm", "run_preprocessor", "score")


def progress_of_job(status: str) -> Progress:
    """A job's status in the workspace's words, reduced to what the lifecycle asks for."""
    ends: dict[str, Progress] = {"Completed": "succeeded", "Failed": "failed", "Canceled": "canceled"}
    return ends.get(status, "under way")


def progress_of_resource(state: str | None) -> Progress:
    """A provisioning state, reduced likewise."""
    ends: dict[str, Progress] = {"Succeeded": "succeeded", "Failed": "failed", "Canceled": "canceled"}
    return ends.get(state or "", "under way")


def tried_by_automl(job: str, tags: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """What an AutoML job's tags say of its children, of which each is a list with semicolons; empty for other jobs."""
    lists = [(tags.get(f"{name}_000") or "").split(";") for name in _OF_CHILDREN]
    return tuple(
        {"job": f"{job}_{number}", "algorithm": algorithm, "preprocessor": preprocessor, "value": _finite(score)}
        for number, algorithm, preprocessor, score in zip(*lists, strict=False)
        if number
    )


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class AzureMLWorkspace:
    """`Workspace` by the azure-ai-ml SDK; what it creates is defined in the YAML files under `aml/`."""

    def __init__(self, settings: Settings, credential: TokenCredential) -> None:
        self._settings = settings
        self._credential = credential
        # It says at every import that classes of its own are experimental; what concerns the app it raises.
        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)

    def register_data(self, asset: DataAsset, tags: Mapping[str, str]) -> DataAsset:
        try:
            return self._register_data(asset, tags)
        except WorkspaceRefusedError:
            with _translated(), suppress(ResourceNotFoundError):
                return self._known_data(asset)  # another instance was quicker: a version's path is fixed
            raise

    def _register_data(self, asset: DataAsset, tags: Mapping[str, str]) -> DataAsset:
        from azure.ai.ml.entities import Data

        with _translated():
            try:
                return self._known_data(asset)
            except ResourceNotFoundError:
                path = self._address(asset.path)
                made = Data(name=asset.name, version=asset.version, path=path, type="uri_file", tags=dict(tags))
                self._client.data.create_or_update(made)
        return asset

    def _known_data(self, asset: DataAsset) -> DataAsset:
        found = self._client.data.get(asset.name, version=asset.version)
        return DataAsset(asset.name, asset.version, str(found.path).partition("/paths/")[2])

    def _address(self, path: str) -> str:
        """A place in the app's datastore as Azure ML writes it."""
        return f"azureml://datastores/{self._settings.aml_datastore}/paths/{path}"

    def start_training(self, job: TrainingJob) -> None:
        if self.job(job.name) is not None:
            return
        try:
            self._submit(job)
        except WorkspaceRefusedError:
            if self.job(job.name) is None:  # else another instance was quicker: a job's name is taken once
                raise

    def _submit(self, job: TrainingJob) -> None:
        from azure.ai.ml import load_job

        folder = self._address(job.folder)
        with _translated(), _snapshot() as code:
            data = f"azureml:{job.data.name}:{job.data.version}" if job.data else f"{folder}/data.parquet"
            definition = load_job(
                _AML / "jobs" / file_of(job),
                params_override=[
                    {"name": job.name},
                    {"display_name": f"{job.dataset} {job.run}"},
                    {"experiment_name": f"dropscore-{job.dataset}"},
                    {"compute": self._settings.aml_compute},
                    {"tags": dict(job.tags)},
                    *own_changes(job, folder, str(code), data),
                ],
            )
            if job.tuning.is_sweep and job.tuning.early_termination is None:
                definition.early_termination = None  # what the file says of it cannot be unset as it is loaded
            if job.step != "search":  # AutoML brings its own
                command = definition.trial if job.tuning.is_sweep else definition
                command.environment = self._environment(command.environment)
            self._client.jobs.create_or_update(definition)

    def _environment(self, declared: Environment) -> str:
        """The environment that a YAML file declares inline, registered once; its version the digest of what it is."""
        from azure.ai.ml.entities import Environment

        conda = (_AML / "env" / "conda.yml").read_bytes()
        version = hashlib.sha256(declared.image.encode() + conda).hexdigest()[:12]
        try:
            found = self._client.environments.get(_ENVIRONMENT, version=version)
        except ResourceNotFoundError:
            found = self._client.environments.create_or_update(
                Environment(
                    name=_ENVIRONMENT, version=version, image=declared.image, conda_file=_AML / "env" / "conda.yml"
                )
            )
        return f"azureml:{found.name}:{found.version}"

    def job(self, name: str) -> JobStatus | None:
        with _translated():
            try:
                job = self._client.jobs.get(name)
            except ResourceNotFoundError:
                return None
        tags = job.tags or {}
        best = (job.properties or {}).get("best_child_run_id") or tags.get("automl_best_child_run_id")
        return JobStatus(progress_of_job(job.status), job.status, job.studio_url, best, tried_by_automl(name, tags))

    def register(self, model: str, job: str, run: str, tags: Mapping[str, str]) -> str:
        from azure.ai.ml.entities import Model

        known = self._versions(model, "All")
        own = [each for each in known if each.tags.get("run") == run]
        if own:
            return own[-1].version  # the lowest, should there be two
        # Counted here and not by the SDK: instances that saw the same list ask for the same version, which is then
        # made once; an archived version's number stays taken.
        version = str(1 + max((_number(each.version) for each in known), default=0))
        path = f"azureml://jobs/{job}/outputs/model"
        try:
            with _translated():
                self._client.models.create_or_update(
                    Model(name=model, version=version, path=path, type="custom_model", tags={**tags, "run": run})
                )
        except WorkspaceRefusedError as error:
            if version in [each.version for each in self._versions(model, "All")]:
                raise WorkspaceUnavailableError(
                    "version_taken", f"Version {version} of {model} was taken by another run at the same moment."
                ) from error
            raise
        return version

    def models(self, model: str) -> Sequence[ModelVersion]:
        return self._versions(model, "ActiveOnly")

    def _versions(self, model: str, view: str) -> Sequence[ModelVersion]:
        """Versions, newest first; those that a person named in words come last."""
        with _translated():
            try:
                found = list(self._client.models.list(name=model, list_view_type=view))
            except ResourceNotFoundError:
                return []
        versions = [ModelVersion(model, str(each.version), dict(each.tags or {})) for each in found]
        return sorted(versions, key=lambda each: _number(each.version), reverse=True)

    def endpoint(self, name: str) -> Endpoint | None:
        with _translated():
            try:
                found = self._client.online_endpoints.get(name)
            except ResourceNotFoundError:
                return None
        return Endpoint(
            name,
            progress_of_resource(found.provisioning_state),
            found.scoring_uri or "",
            {deployment: int(share) for deployment, share in (found.traffic or {}).items() if share},
        )

    def start_endpoint(self, name: str, dataset: str) -> None:
        from azure.ai.ml import load_online_endpoint

        with _translated():
            endpoint = load_online_endpoint(_AML / "endpoints" / "endpoint.yml", params_override=[{"name": name}])
            endpoint.auth_mode = "aad_token"  # the app's own identity scores: there is no key to keep
            endpoint.tags = {"dataset": dataset}
            self._client.online_endpoints.begin_create_or_update(endpoint)

    def deployment(self, endpoint: str, name: str) -> Deployment | None:
        with _translated():
            try:
                found = self._client.online_deployments.get(name, endpoint)
            except ResourceNotFoundError:
                return None
        return Deployment(name, progress_of_resource(found.provisioning_state), (found.tags or {}).get("run", ""))

    def start_deployment(self, endpoint: str, name: str, model: ModelVersion, run: str) -> None:
        from azure.ai.ml import load_online_deployment

        with _translated(), _snapshot() as code:
            deployment = load_online_deployment(
                _AML / "endpoints" / "deployment.yml",
                params_override=[{"name": name}, {"endpoint_name": endpoint}],
            )
            deployment.model = f"azureml:{model.name}:{model.version}"
            deployment.environment = self._environment(deployment.environment)
            deployment.code_configuration.code = str(code)
            deployment.instance_type = self._settings.aml_instance_type
            deployment.instance_count = self._settings.aml_instance_count
            deployment.environment_variables = {
                **(deployment.environment_variables or {}),
                "DROPSCORE_MODEL_NAME": model.name,
                "DROPSCORE_MODEL_VERSION": model.version,
            }
            deployment.tags = {"run": run}
            self._client.online_deployments.begin_create_or_update(deployment)

    def start_traffic(self, endpoint: str, shares: Mapping[str, int]) -> None:
        with _translated():
            found = self._client.online_endpoints.get(endpoint)
            found.traffic = dict(shares)
            self._client.online_endpoints.begin_create_or_update(found)

    def cancel_job(self, name: str) -> None:
        with _translated(), suppress(ResourceNotFoundError):
            self._client.jobs.begin_cancel(name)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        with _translated(), suppress(ResourceNotFoundError):
            self._client.online_deployments.begin_delete(name, endpoint)

    def archive(self, model: str, version: str) -> None:
        with _translated(), suppress(ResourceNotFoundError):
            self._client.models.archive(model, version)

    @cached_property
    def _client(self) -> MLClient:
        from azure.ai.ml import MLClient

        settings = self._settings
        if not settings.workspace_configured:
            raise WorkspaceRefusedError(
                "workspace_not_configured",
                "Retraining needs the settings AML_SUBSCRIPTION_ID, AML_RESOURCE_GROUP and AML_WORKSPACE_NAME.",
            )
        return MLClient(
            self._credential,
            settings.aml_subscription_id,
            settings.aml_resource_group,
            settings.aml_workspace_name,
            show_progress=False,
            enable_telemetry=False,
            retry_status=0,  # a workspace that throttles is left alone for as long as it says, by the run's record
        )


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


@contextmanager
def _snapshot() -> Iterator[Path]:
    """A folder that holds `aml` as a package and nothing else: the code that Azure ML is given."""
    with tempfile.TemporaryDirectory(prefix="dropscore-") as folder:
        shutil.copytree(_AML, Path(folder) / "aml", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        yield Path(folder)


def _retry_after(error: HttpResponseError) -> int | None:
    """Seconds for which a throttled client is to wait."""
    said = str(getattr(error.response, "headers", {}).get("Retry-After"))  # azure-core declares no headers there
    return int(said) if said.isdecimal() else None


@contextmanager
def _translated() -> Iterator[None]:
    from azure.ai.ml.exceptions import MlException

    try:
        yield
    except HttpResponseError as error:
        status = error.status_code
        # 409: another change of the same thing is under way
        if status is None or status in (408, 409, 429) or status >= 500:
            raise WorkspaceUnavailableError(
                UNAVAILABLE,
                f"Azure ML answered {status}: {error.message}",
                status=status,
                retry_after=_retry_after(error),
            ) from error
        words = f"Azure ML answered {status}: {error.message}"
        if "quota" in words.lower():  # no status and no code of its own says so
            raise WorkspaceRefusedError("quota_exceeded", words, status=status) from error
        raise WorkspaceRefusedError("workspace_refused", words, status=status) from error
    except MlException as error:
        raise WorkspaceRefusedError("workspace_refused", f"azure-ai-ml refused the request: {error}") from error
    except AzureError as error:
        raise WorkspaceUnavailableError(UNAVAILABLE, f"Azure ML cannot be reached: {error}") from error
