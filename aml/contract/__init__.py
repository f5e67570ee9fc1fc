"""The declared contract of a dataset: its columns, what a model of it answers, and when such a model is good enough.

One YAML file per dataset lies in `aml/datasets/`. The function app, the training job and the scoring script read the
same file through this package, which therefore needs nothing but pydantic, numpy and PyYAML (pydantic 2.12 in the
model's environment, 2.14 in the app's). The app knows this package alone of what lies in `aml/`.
"""

from aml.contract.base import ContractError, Fault
from aml.contract.candidates import Alarms, Candidate
from aml.contract.columns import Column, PredictionColumn, normalise
from aml.contract.dataset import DatasetContract
from aml.contract.features import Feature
from aml.contract.loading import contract_names, load_contract, read_contract
from aml.contract.models import ALGORITHMS, Metric, Model, ModelTuning
from aml.contract.rules import DriftRules, GateRule, ReplayRules, SplitRules, TrainingRules
from aml.expressions import Expression
from aml.spaces import Choice, Range, Tuning

__all__ = [
    "ALGORITHMS",
    "Alarms",
    "Candidate",
    "Choice",
    "Column",
    "ContractError",
    "DatasetContract",
    "DriftRules",
    "Expression",
    "Fault",
    "Feature",
    "GateRule",
    "Metric",
    "Model",
    "ModelTuning",
    "PredictionColumn",
    "Range",
    "ReplayRules",
    "SplitRules",
    "TrainingRules",
    "Tuning",
    "contract_names",
    "load_contract",
    "normalise",
    "read_contract",
]
