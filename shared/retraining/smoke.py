"""The smoke request: a deployment that takes no traffic yet must answer real rows sensibly before it gets any."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

from aml.contract import DatasetContract
from shared.errors import WorkspaceRefusedError
from shared.scoring.context import conform, no_rows, read_table
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.targets import Target, Targets

_PATIENCE_SECONDS = 10
"""How long a request is repeated: a deployment that is not quite there yet is asked again with the next look."""


def smoke(targets: Targets, contract: DatasetContract, target: Target, version: str, rows: bytes) -> dict[str, Any]:
    """Scores some rows of the training data (an Arrow stream) at the target; returns what the record keeps.

    Raises:
        WorkspaceRefusedError: ``smoke_failed``, a row was refused, its answer is missing or not finite, or another
            version of the model answered.
        TryAgainError: the deployment does not answer at the moment.
    """
    table = conform(read_table(rows), contract)
    conversation = Conversation(deployment=target.deployment)
    who = f"The new deployment {target.deployment}" if target.deployment else "The new model's bundle"
    with closing(targets.connect(target, patience=_PATIENCE_SECONDS)) as client:
        scorer = Scorer(client, contract, conversation, in_flight=1)
        (scored,) = scorer.score([table], no_rows(contract))
    # The words about an anomaly are no answer: a row that is as usual needs none, and some models have none.
    asked = [each.name for each in contract.predictions if contract.task != "anomaly" or each.type != "text"]
    unusable = [row for row in scored.predictions.select(asked).to_pylist() if not all(map(_sound, row.values()))]
    if scored.refused or unusable:
        why = next(iter(scored.refused.values()), "answers are missing or not finite")
        raise WorkspaceRefusedError(
            "smoke_failed",
            f"{who} could not score {max(len(scored.refused), len(unusable))} of "
            f"{table.num_rows} rows of its own training data: {why}",
        )
    if conversation.version not in ("", version):
        raise WorkspaceRefusedError(
            "smoke_failed",
            f"{who} answered as version {conversation.version}, where version {version} should be.",
        )
    return {"rows": table.num_rows, "requests": conversation.requests, "deployment": conversation.deployment}


def _sound(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
