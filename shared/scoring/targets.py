"""Which endpoint answers for a dataset: somebody else's by settings, or the one that retraining put into service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shared.errors import EndpointUnavailableError, NoLiveModelError
from shared.live import LiveModels
from shared.scoring.bundle import BundleClient, Bundles, FallbackClient
from shared.scoring.endpoint import EndpointClient
from shared.scoring.scorer import Client
from shared.settings import Settings

AML_SCOPE = "https://ml.azure.com/.default"


@dataclass(frozen=True)
class Target:
    """Where to score and, as far as it is known beforehand, which model answers there ('' when not).

    `dataset` is given for a live model alone: its bundle may answer in the place of its endpoint.
    """

    url: str
    deployment: str | None
    model: str = ""
    version: str = ""
    run: str = ""
    dataset: str = ""


class Targets:
    """Finds the target of a dataset and connects to it.

    Args:
        token: gives a bearer token for `AML_SCOPE`, a new one when asked with ``fresh=True``.
        sleep: waits that many seconds between two tries of a request.
        bundles: where the live models' bundles are; without them the endpoint alone is asked.
    """

    def __init__(
        self,
        settings: Settings,
        live: LiveModels,
        token: Callable[[bool], str],
        sleep: Callable[[float], None] = time.sleep,
        bundles: Bundles | None = None,
    ) -> None:
        self._settings = settings
        self._live = live
        self._token = token
        self._sleep = sleep
        self._bundles = bundles

    def find(self, dataset: str) -> Target:
        """The dataset's target, or `NoLiveModelError`."""
        if self._settings.aml_endpoint_url:
            return Target(self._settings.aml_endpoint_url, self._settings.aml_deployment_name)
        live = self._live.get(dataset)
        if live is None:
            raise NoLiveModelError(
                "no_live_model",
                f"No model of '{dataset}' is in service yet; files that were dropped are scored as soon as one is. "
                f"Drop a training set into datasets/{dataset}/ to train one.",
                dataset=dataset,
            )
        return Target(live.scoring_uri, live.deployment or None, live.model, live.version, live.run, dataset)

    def connect(self, target: Target, *, patience: float | None = None) -> Client:
        """Whoever answers for the target under `SCORE_FALLBACK`; close it after use.

        Raises:
            EndpointUnavailableError: ``endpoint_missing``, the model has no endpoint and its bundle must not answer.
        """
        chosen = self._settings.score_fallback
        if chosen == "off" or self._bundles is None or not target.dataset:
            if not target.url:
                raise EndpointUnavailableError(
                    "endpoint_missing",
                    f"Version {target.version} of {target.model} was put into service without an endpoint, and "
                    "SCORE_FALLBACK does not let its bundle answer. Set bundle-always, or activate the version again.",
                )
            return self._endpoint(target, patience)
        opened = partial(self._bundles.service, target.dataset, target.run, target.model, target.version)
        if chosen == "bundle-always" or not target.url:
            return BundleClient(opened)
        return FallbackClient(self._endpoint(target, patience), BundleClient(opened))

    def _endpoint(self, target: Target, patience: float | None) -> EndpointClient:
        settings = self._settings
        return EndpointClient(
            target.url,
            partial(self._authorization, target.url),
            timeout=settings.score_request_timeout_seconds,
            patience=settings.score_patience_seconds if patience is None else patience,
            connections=settings.score_requests_in_flight,
            sleep=self._sleep,
        )

    def _authorization(self, url: str, fresh: bool) -> str:
        key = self._settings.aml_endpoint_key
        if key is not None and url == self._settings.aml_endpoint_url:  # nobody else is shown that key
            return f"Bearer {key.get_secret_value()}"
        return f"Bearer {self._token(fresh)}"
