"""What a contract asks of training data, of a new model and of the files it scores."""

from __future__ import annotations

from pydantic import Field

from aml.contract.base import Declared


class TrainingRules(Declared):
    """What a training file must hold: usable rows, days from its first to its last row, and at most this share of its
    rows (0 to 1) unusable, and of its usable rows with a time that an earlier row of the same series has; of a
    classification, so many rows of each class that it has."""

    min_rows: int = Field(ge=1)
    min_days: float = Field(default=0, ge=0)
    max_unusable_share: float = Field(ge=0, le=1)
    max_duplicate_share: float = Field(default=1, ge=0, le=1)
    min_per_class: int = Field(default=5, ge=1)


class GateRule(Declared):
    """What one metric of a new model must be before the model goes into service.

    `minimum` and `maximum` bound the metric itself; `max_drop` and `max_rise` bound how far it may fall below or climb
    above the same metric of the live model, in the metric's own unit. None: not asked for. `needs_champion` says that
    there is such a metric only where there is a live model; without one the rule asks for nothing.
    """

    metric: str = Field(min_length=1)
    minimum: float | None = None
    maximum: float | None = None
    max_drop: float | None = Field(default=None, ge=0)
    max_rise: float | None = Field(default=None, ge=0)
    needs_champion: bool = False


class DriftRules(Declared):
    """When the data of a file count as drifted away from the training data.

    `psi_moderate` and `psi_severe` bound by how much a PSI may exceed what chance alone explains (the usual 0.1 and
    0.25); `share_moderate` and `share_severe` bound by how much the share of unusable rows may exceed that of the
    training data, and the share of values below or above all of theirs. A file of fewer than `min_rows` usable rows is
    not judged by itself.
    """

    psi_moderate: float = Field(default=0.1, gt=0)
    psi_severe: float = Field(default=0.25, gt=0)
    share_moderate: float = Field(default=0.1, gt=0, le=1)
    share_severe: float = Field(default=0.25, gt=0, le=1)
    min_rows: int = Field(default=20, ge=1)


class ReplayRules(Declared):
    """What a new model may make of recent real files before it goes into service, each a share (0 to 1).

    `max_alert_rate` bounds the rows that it flags, `max_error_rate` the rows that it cannot score, and `min_agreement`
    the rows that it answers like the live model. None: not asked for.
    """

    max_alert_rate: float | None = Field(default=None, ge=0, le=1)
    max_error_rate: float | None = Field(default=None, ge=0, le=1)
    min_agreement: float | None = Field(default=None, ge=0, le=1)


class SplitRules(Declared):
    """How the hold-out on which classifiers are measured is chosen: the share of the rows, whether each class has that
    share of its own rows in it, and the seed of the draw."""

    test: float = Field(default=0.2, ge=0.05, le=0.5)
    stratified: bool = True
    seed: int = Field(default=42, ge=0)
