"""The algorithms that a contract may name: each as the last step of a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from aml.tabular.folds import Folds

Settings = Mapping[str, Any]

_CALIBRATION_FOLDS = 5
_DENSE_BYTES = 400_000_000


@dataclass(frozen=True)
class Algorithm:
    """How a model is made and what it can take.

    Attributes:
        dense: whether it is predicted with zeros written out.
        dense_fit: whether it is fitted so; such a fit takes no more rows than fit into 400 MB.
        rows: how many rows it is fitted on at most, None: all of them.
    """

    dense: bool = False
    dense_fit: bool = False
    rows: int | None = None

    def rows_at_most(self, width: int) -> int | None:
        """How many rows of so many columns it is fitted on at most."""
        bounds = [self.rows] if self.rows is not None else []
        if self.dense or self.dense_fit:
            bounds.append(_DENSE_BYTES // (8 * max(width, 1)))
        return min(bounds, default=None)


ALGORITHMS = {
    "logistic": Algorithm(),
    "random_forest": Algorithm(),
    # its time grows with the square of the rows
    "svm": Algorithm(rows=10_000),
    "decision_tree": Algorithm(),
    "lda": Algorithm(dense_fit=True),
    "gradient_boosting": Algorithm(dense=True),
    # fitted elsewhere, on a table of which all columns are written out
    "automl": Algorithm(dense_fit=True),
}


def estimator(algorithm: str, parameters: Settings, seed: int) -> Any:
    """The unfitted classifier; it has `predict_proba`, and draws whatever it draws by the seed.

    Args:
        parameters: in scikit-learn's words and with its defaults, but that a logistic regression has 1,000 iterations,
            and an LDA the solver `lsqr` with a shrinkage of 0.001: scikit-learn's own solver `svd` takes a column that
            is constant within every class, as a code that decides is, for one that says nothing.
    """
    settings = dict(parameters)
    if algorithm == "logistic":
        return LogisticRegression(**{"max_iter": 1000, **settings})
    if algorithm == "random_forest":
        return RandomForestClassifier(random_state=seed, **settings)
    if algorithm == "svm":
        # Distances become probabilities by Platt's sigmoid, fitted out of fold; each fold must have all the distances.
        machine = SVC(random_state=seed, **settings)
        return CalibratedClassifierCV(machine, cv=Folds(_CALIBRATION_FOLDS, seed, every=True), ensemble=False)
    if algorithm == "decision_tree":
        return DecisionTreeClassifier(random_state=seed, **settings)
    if algorithm == "lda":
        return SparseLda(**({"solver": "lsqr", "shrinkage": 0.001} if "solver" not in settings else {}) | settings)
    if algorithm == "gradient_boosting":
        # stopping early would hold rows out once more, which a class of one row does not bear
        return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **settings)
    raise KeyError(algorithm)


class SparseLda(LinearDiscriminantAnalysis):  # type: ignore[misc] # sklearn has no type information
    """scikit-learn's, fitted on a sparse matrix by writing its zeros out; it predicts from the sparse one as it is."""

    def fit(self, matrix: Any, classes: Any) -> SparseLda:
        """See scikit-learn."""
        super().fit(matrix.toarray(), classes)
        return self
