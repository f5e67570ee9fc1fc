"""Birds as a table: numbers, texts and a time that tell a species, with gaps, rare places and a rare species."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from aml.contract import DatasetContract
from aml.tabular.candidates import Candidates
from aml.tabular.training import Found, evaluate, hold_out, prepare

SPECIES = ("crane", "heron", "stork", "ibis")
_BEGIN = datetime(2026, 3, 1)  # noqa: DTZ001 - a clock without a zone, like that of the data

_ALGORITHMS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "random_forest": {"n_estimators": 8},
    "svm": {},
    "decision_tree": {},
    "lda": {},
    "gradient_boosting": {"max_iter": 5},
}


def contract_of(**changes: Any) -> DatasetContract:
    """The contract, with other values of these keys."""
    declared: dict[str, Any] = {
        "name": "birds",
        "task": "classification",
        "model_name": "classifier_birds",
        "columns": [
            {"name": "wing", "type": "number", "minimum": 0, "maximum": 300, "impute": "median"},
            {"name": "leg", "type": "number", "impute": "mean"},
            {"name": "ring", "type": "number"},
            {"name": "lake", "type": "text", "impute": "mode"},
            {"name": "sex", "type": "text", "categories": ["male", "female"], "impute": "mode"},
            {"name": "seen", "type": "time", "required": False},
            {"name": "hour", "type": "number", "minimum": 0, "maximum": 23, "otherwise": "hour(seen)"},
            {"name": "species", "type": "text", "categories": list(SPECIES), "required": False},
        ],
        "target": "species",
        "features": [
            {"column": "wing", "scale": "standard"},
            {"column": "leg", "scale": "robust"},
            {"name": "ratio", "expression": "wing / leg", "scale": "minmax"},
            {"column": "ring", "encode": "one_hot", "rare": 0.05},
            {"column": "lake", "encode": "one_hot", "rare": 0.02},
            {"column": "sex", "encode": "ordinal"},
            {"name": "hour", "column": "hour", "encode": "target"},
            {"name": "how_often", "column": "lake", "encode": "frequency", "scale": "standard"},
        ],
        "models": [
            {"name": name, "algorithm": name, "parameters": parameters} for name, parameters in _ALGORITHMS.items()
        ],
        "training": {"min_rows": 20, "max_unusable_share": 0.2, "min_per_class": 2},
    }
    return DatasetContract.model_validate(declared | changes)


def birds(count: int, seed: int = 0, *, classes: tuple[str, ...] = SPECIES) -> pa.Table:
    """Rows under the canonical names; the last of four species is in one row of thirty."""
    random = np.random.default_rng(seed)
    shares = np.array([10, 10, 9, 1][: len(classes)]) / sum([10, 10, 9, 1][: len(classes)])
    kinds = random.choice(len(classes), count, p=shares)
    wing = 150 + 25 * kinds + random.normal(0, 8, count)
    leg = 30 + 10 * (kinds % 2) + random.normal(0, 3, count)
    lakes = np.array(["Albufera", "Doñana", "Gallocanta", "Ebro", "Tajo"])[
        np.minimum(random.geometric(0.5, count) - 1 + kinds // 2, 4)
    ]
    gap = random.random((4, count)) < 0.06
    return pa.table(
        {
            "wing": pa.array(wing, mask=gap[0]),
            "leg": pa.array(leg, mask=gap[1]),
            "ring": pa.array(random.choice([1.0, 2.0, 3.0, 7.5], count, p=[0.5, 0.3, 0.17, 0.03])),
            "lake": pa.array(lakes.tolist(), pa.string(), mask=gap[2]),
            "sex": pa.array(random.choice(["male", "female"], count).tolist(), pa.string(), mask=gap[3]),
            "seen": pa.array([_BEGIN + timedelta(minutes=int(m)) for m in random.integers(0, 9000, count)]),
            "species": pa.array([classes[kind] for kind in kinds], pa.string()),
        }
    )


def candidates_of(contract: DatasetContract, data: pa.Table) -> Candidates:
    """The contract's models as they are fitted on what the data do not hold out."""
    parameters = {model.name: dict(model.parameters) for model in contract.models}
    held = hold_out(prepare(data, contract), contract)
    return evaluate(held, contract, Found(parameters, {name: {} for name in parameters})).candidates
