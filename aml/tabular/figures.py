"""Figures of a trained classifier, `<topic>_<dataset>_<date>.png`, beside the job's other outputs.

matplotlib is loaded when the first one is drawn, through its objects alone: no window system, no global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aml.rows import Floats
from aml.tabular.metrics import BINS, Classes, aligned, calibration

_DPI = 100
_CURVES = 12
_BLUE, _GREY = "#2b6cb0", "#a0aec0"


def draw(
    folder: Path,
    dataset: str,
    date: str,
    truth: Classes,
    probabilities: Floats,
    known: Classes,
    models: Sequence[tuple[str, float]],
    selection: str,
) -> list[Path]:
    """Draw all figures of the champion on its hold-out.

    Args:
        folder: is made when it is not there.
        date: as it stands in the files' names, YYYYMMDD.
        truth, probabilities, known: as `aml.tabular.metrics.measure` takes them.
        models: every candidate's name and value of the metric `selection`.

    Returns:
        The files, in the order of their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = known[probabilities.argmax(axis=1)]
    labels = np.union1d(truth, known)
    drawn = {
        "calibration": _calibration(truth == said, probabilities.max(axis=1)),
        "classes": _classes(truth, said, labels),
        "confusion": _confusion(truth, said, labels),
        "models": _models(models, selection),
        "roc": _roc(truth, aligned(probabilities, known, labels), labels),
    }
    paths = []
    for topic, figure in drawn.items():
        paths.append(folder / f"{topic}_{dataset}_{date}.png")
        # the software's version would make other bytes of an equal figure
        figure.savefig(paths[-1], dpi=_DPI, metadata={"Software": None})
    return paths


def _figure(width: float, height: float, title: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _confusion(truth: Classes, said: Classes, labels: Classes) -> Any:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, said, labels=labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.5 + 0.32 * len(labels)
    figure, axes = _figure(side + 1, side, "Rows of the hold-out by class")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the class")
    axes.set_xticks(range(len(labels)), labels, rotation=90 if len(labels) > 6 else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 0.5
        axes.text(
            column, row, counts[row, column], ha="center", va="center", color="white" if dark else "black", size=8
        )
    return figure


def _calibration(right: Any, confidence: Floats) -> Any:
    counts, sure, share = calibration(right, confidence)
    there = counts > 0
    figure, axes = _figure(5, 5, "Confidence, and how often it was right")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="calibrated")
    axes.bar(
        (np.arange(BINS) + 0.5) / BINS, counts / counts.sum(), width=1 / BINS, color=_GREY, alpha=0.4, label="rows"
    )
    axes.plot(sure[there], share[there], color=_BLUE, marker="o", label="hold-out")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share")
    axes.legend(loc="upper left")
    return figure


def _classes(truth: Classes, said: Classes, labels: Classes) -> Any:
    from sklearn.metrics import f1_score

    scores = f1_score(truth, said, labels=labels, average=None, zero_division=0)
    figure, axes = _figure(6, 2 + 0.25 * len(labels), "F1 by class (rows of the hold-out)")
    axes.barh(range(len(labels)), scores, color=_BLUE)
    rows = [f"{label} ({int((truth == label).sum())})" for label in labels]
    axes.set_yticks(range(len(labels)), rows)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    return figure


def _models(models: Sequence[tuple[str, float]], selection: str) -> Any:
    figure, axes = _figure(6, 2 + 0.3 * len(models), f"{selection} on the hold-out")
    axes.barh(range(len(models)), [value for _, value in models], color=_BLUE)
    axes.set_yticks(range(len(models)), [f"{name} {value:.4f}" for name, value in models])
    axes.invert_yaxis()
    return figure


def _roc(truth: Classes, spread: Floats, labels: Classes) -> Any:
    """The curves of the classes with the most rows, each against the rest."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure(6, 5, "ROC, each class against the rest")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--")
    rows = {at: int((truth == label).sum()) for at, label in enumerate(labels)}
    most = sorted((at for at in rows if 0 < rows[at] < len(truth)), key=lambda at: (-rows[at], at))[:_CURVES]
    for at in most:
        wrong, right, _ = roc_curve(truth == labels[at], spread[:, at])
        axes.plot(wrong, right, label=str(labels[at]), linewidth=1)
    if most:
        axes.legend(loc="lower right", fontsize=8, ncols=2 if len(most) > 6 else 1)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    return figure
