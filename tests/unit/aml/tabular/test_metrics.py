"""Metrics beside scikit-learn's own, and where those have no value or warn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from aml.tabular.metrics import calibration_error, confusion, measure, objective, report

_KNOWN = np.array(["a", "b", "c"])


def _probabilities(rows: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).dirichlet([1, 1, 1], rows)


def test_the_numbers_are_scikit_learns() -> None:
    truth = np.random.default_rng(1).choice(_KNOWN, 200)
    probabilities = _probabilities(200)
    said = _KNOWN[probabilities.argmax(axis=1)]

    found = measure(truth, probabilities, _KNOWN)

    assert found["accuracy"] == (truth == said).mean()
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert found["f1_macro"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert found["f1_weighted"] == pytest.approx(f1_score(truth, said, average="weighted"))
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=_KNOWN))
    assert found["roc_auc_ovr"] == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))
    assert all(objective(name, truth, probabilities, _KNOWN) == found[name] for name in ("accuracy", "roc_auc_ovr"))
    assert objective("log_loss", truth, probabilities, _KNOWN) == -found["log_loss"]


def test_a_class_that_the_model_does_not_know_has_no_probability() -> None:
    truth = np.array(["a", "b", "c", "d"])

    found = measure(truth, np.eye(3)[[0, 1, 2, 0]], _KNOWN)

    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.75
    assert found["log_loss"] > 8
    assert found["roc_auc_ovr"] == pytest.approx((5 / 6 + 1 + 1 + 0.5) / 4)


def test_what_one_class_alone_does_not_give_is_left_out() -> None:
    found = measure(np.array(["a", "a"]), np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]]), _KNOWN)

    assert found["accuracy"] == 0.5
    assert "roc_auc_ovr" not in found
    assert objective("roc_auc_ovr", np.array(["a"]), np.array([[1.0, 0, 0]]), _KNOWN) == float("-inf")


def test_the_calibration_error_is_the_mean_distance_of_confidence_from_what_it_comes_to() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])

    assert calibration_error(right, confidence) == pytest.approx((4 * abs(0.75 - 0.95) + 2 * abs(0.5 - 0.55)) / 6)
    assert calibration_error(np.array([True]), np.array([1.0])) == 0


def test_the_report_has_every_class_that_is_there_or_said() -> None:
    truth, said = np.array(["a", "a", "b"]), np.array(["a", "c", "b"])

    found = report(truth, said)

    assert found["a"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert found["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert confusion(truth, said, ["a", "b", "c"]) == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
