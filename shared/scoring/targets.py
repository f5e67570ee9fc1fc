"""Which endpoint answers for a dataset: somebody else's by settings, or the one that retraining put into service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shared.errors import NoLiveModelError
from shared.live import LiveModels
from shared.scoring.endpoint import EndpointClient
from shared.settings import Settings

AML_SCOPE = "https://ml.azure.com/.default"


@dataclass(frozen=True)
class Target:
    """Where to score and, as far as it is known beforehand, which model answers there ('' when not)."""

    url: str
    deployment: str | None
    model: str = ""
    version: str = ""
    run: str = ""


class Targets:
    """Finds the target of a dataset and connects to it.

    Args:
        token: gives a bearer token for `AML_SCOPE`, a new one when asked with ``fresh=True``.
        sleep: waits that many seconds between two tries of a request.
    """

    def __init__(
        self,
        settings: Settings,
        live: LiveModels,
        token: Callable[[bool], str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._live = live
        self._token = token
        self._sleep = sleep

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
        return Target(live.scoring_uri, live.deployment, live.model, live.version, live.run)

    def connect(self, target: Target, *, patience: float | None = None) -> EndpointClient:
        """A client of the target; close it after use."""
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
