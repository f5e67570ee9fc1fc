"""From a bundle to the service that answers with it: by the endpoint, and by the app where it scores in process."""

from __future__ import annotations

import logging
from typing import Protocol

from aml.bundle import Bundle
from aml.messages import Answer

_log = logging.getLogger("dropscore.score")


class AnyService(Protocol):
    """A model in service."""

    def answer(self, content_type: str, body: bytes) -> Answer:
        """Answer one request."""
        ...


def service_of(bundle: Bundle, name: str = "", version: str = "") -> AnyService:
    """The service of a series or of a table.

    Args:
        name, version: what the deployment calls the model, empty when it does not say.
    """
    if bundle.contract.is_table:
        from aml.tabular.serving import OutlierService, TabularService  # neither kind pays for the other's libraries

        kind = TabularService if bundle.contract.task == "classification" else OutlierService
        return kind(bundle.contract, name, version, bundle.pipeline)
    from aml.forest import Scorer
    from aml.serving import Service

    scorer = Scorer(bundle.pipeline)
    if scorer.evaluation != "compiled":
        _log.warning("%s evaluates the forest: the same scores, many times slower", scorer.evaluation)
    return Service(bundle.contract, scorer, name, version)
