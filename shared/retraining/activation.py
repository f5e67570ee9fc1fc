"""Activation: a registered version put into service by a person, be it newer or older than the live one."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from aml.contract import DatasetContract
from shared.errors import InvalidInputError
from shared.naming import run_id
from shared.retraining.lifecycle import State
from shared.retraining.workspace import ModelVersion
from shared.runs import Run

_METRIC = "metric."


def metrics_of(version: ModelVersion) -> dict[str, float | str]:
    """The metrics that a version's tags carry."""
    return {
        name.removeprefix(_METRIC): _number(value) for name, value in version.tags.items() if name.startswith(_METRIC)
    }


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def activation(contract: DatasetContract, version: ModelVersion, now: datetime) -> Run:
    """The run that deploys the version from its registration on; no gate is asked, and its record says who decided.

    Raises:
        InvalidInputError: ``foreign_version``.
    """
    tags = version.tags
    if not all(tags.get(name) for name in ("run", "blob", "etag", "sha256")):
        raise InvalidInputError(
            "foreign_version",
            f"Version {version.version} of {version.name} was not registered by a training run of this app.",
        )
    why = f"version {version.version} was activated by a person"
    run = Run(
        id=run_id("train", tags["blob"], f"activate {uuid4()}", now),
        kind="train",
        dataset=contract.name,
        blob=tags["blob"],
        etag=tags["etag"],
        state=State.REGISTERED,
        manual=True,
        data={"sha256": tags["sha256"]},
        metrics=metrics_of(version),
        verdict={"promote": True, "reasons": [why]},
        model_version=version.version,
        activated={"version": version.version, "run": tags["run"]},
    )
    return run.entered(State.REGISTERED, now, why)
