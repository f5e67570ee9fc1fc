"""Training the classifiers of a dataset: the steps, and what they leave in the job's output folder.

    prepare -> hold_out -> find_parameters -> evaluate -> finish

Each step takes what the one before it gave and nothing else, so that they are the steps of a pipeline job too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.pipeline import Pipeline

from aml.bundle import save_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.contract.models import AUTOML
from aml.metrics_file import write_metrics
from aml.profile import make_table_profile, write_profile
from aml.rows import Floats
from aml.tabular.algorithms import Settings
from aml.tabular.automl import FoundByAutoml, opened
from aml.tabular.candidates import Candidates, features_of
from aml.tabular.features import TableFeatures
from aml.tabular.figures import draw
from aml.tabular.fitting import can_be_told_apart, fit, one_core, split
from aml.tabular.ground import Ground, keys_of
from aml.tabular.judging import MEASURED_NAME, Judged, compare
from aml.tabular.metrics import LESS_IS_BETTER, Classes, Metrics, confusion, measure, report
from aml.tabular.reading import table_from_arrow
from aml.tabular.table import Table
from aml.tabular.tuning import Searching
from aml.usable import require_usable, unusable_share

FIGURES = "figures"
_FITTED_ON = "all rows after measuring"
_AS_FOUND = "the one that was measured, as AutoML fitted it"


@dataclass(frozen=True, eq=False)
class Prepared:
    """The usable rows of a dataset with their classes ("" without a target), the share of its rows that are not among
    them, and how many those are as far as this file has them."""

    table: Table
    classes: Classes
    unusable: float
    problems: int


@dataclass(frozen=True, eq=False)
class Held:
    """Which of the rows are fitted on, and which are held out: positions, in order."""

    prepared: Prepared
    fit: NDArray[np.intp]
    held: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Found:
    """Every model's parameters by its name, and what metrics.json says of the search for them."""

    parameters: Mapping[str, Settings]
    searches: Mapping[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The candidates as fitted on what is not held out, with their metrics and probabilities on what is."""

    candidates: Candidates
    metrics: Mapping[str, Metrics]
    probabilities: Mapping[str, Floats]
    ground: Ground

    @property
    def said(self) -> dict[str, Classes]:
        """What each candidate says of the held-out rows."""
        return {name: self.candidates.classes(name)[each.argmax(axis=1)] for name, each in self.probabilities.items()}


def train_table(
    data: pa.Table,
    contract: DatasetContract,
    folder: Path,
    champion: Path | None = None,
    *,
    version: int = 1,
    date: str | None = None,
    automl: FoundByAutoml | None = None,
) -> dict[str, Any]:
    """All steps, one after the other.

    Args:
        data: the dataset's columns, typed or as text.
        folder: is made when it is not there; receives the bundle, `metrics.json`, `contract.json`, `profile.json`,
            the held-out rows, the measured model and the figures.
        champion: the folder of the model in service, measured on the same rows; None when there is none.
        version: that the model will have, for the bundle's name.
        date: for the figures' names, YYYYMMDD; None: there are none.
        automl: of a contract that lists a model of AutoML, what that has left.

    Returns:
        What `metrics.json` holds.

    Raises:
        ContractError, InputError: the data cannot train a model.
    """
    held = hold_out(prepare(data, contract), contract)
    found = find_parameters(held, contract)
    evaluated = evaluate(held, contract, found, automl)
    return finish(held, contract, found, evaluated, folder, champion, version=version, date=date)


def prepare(data: pa.Table, contract: DatasetContract) -> Prepared:
    """The usable rows, when they are enough for the contract.

    Raises:
        ContractError: a column is missing.
        InputError: ``no_rows``, ``too_many_unusable``, ``too_few_rows``, ``single_class`` or ``too_few_of_class``.
    """
    parsed = table_from_arrow(data, contract, labelled=contract.target is not None)
    require_usable(parsed.problems, data.num_rows, contract.training)
    table, classes = parsed.usable()
    if contract.target is not None:
        _require_classes(classes, contract.target, contract.training.min_per_class)
    return Prepared(table, classes, unusable_share(data, parsed.problems), len(parsed.problems))


def _require_classes(classes: Classes, target: str, least: int) -> None:
    names, counts = np.unique(classes, return_counts=True)
    if len(names) < 2:
        only = str(names[0])
        raise InputError("single_class", f"All usable rows have the class {only!r}; a model tells at least two apart.")
    few = [f"{name} {rows}" for name, rows in zip(names, counts.tolist(), strict=True) if rows < least]
    if few:
        raise InputError(
            "too_few_of_class",
            f"Training needs at least {least} usable rows of each {target}; there are: {', '.join(few)}.",
        )


def hold_out(prepared: Prepared, contract: DatasetContract) -> Held:
    """Draw the hold-out by the contract's `split`; the draw is scikit-learn's `train_test_split`.

    Raises:
        InputError: ``too_few_rows`` when nothing can be held out.
    """
    rules = contract.split
    try:
        rest, drawn = split(prepared.classes, rules.test, rules.seed, stratified=rules.stratified)
    except ValueError as error:
        raise InputError("too_few_rows", f"The file cannot train a model: {error}") from error
    if contract.target is not None and not can_be_told_apart(prepared.classes[rest]):
        raise InputError("too_few_rows", "All rows that are not held out, but one or two, are of one class.")
    return Held(prepared, rest, drawn)


def find_parameters(held: Held, contract: DatasetContract) -> Found:
    """Search for what each model's `tuning` says, on the rows that are not held out."""
    rows, classes = held.prepared.table.take(held.fit), held.prepared.classes[held.fit]
    searching = Searching(rows, classes, features_of(contract), contract.split.seed)
    with one_core():
        found = {model.name: searching.search(model) for model in contract.models}
    return Found(
        {name: parameters for name, (parameters, _) in found.items()},
        {name: about for name, (_, about) in found.items()},
    )


def featured(held: Held, contract: DatasetContract) -> tuple[TableFeatures, csr_matrix, Classes]:
    """The features as fitted on what is not held out, with their matrix of it and its classes."""
    rows, classes = held.prepared.table.take(held.fit), held.prepared.classes[held.fit]
    return *_features(rows, classes, contract), classes


def evaluate(held: Held, contract: DatasetContract, found: Found, automl: FoundByAutoml | None = None) -> Evaluated:
    """Fit every candidate on what is not held out and measure it on what is; the best by `selection` is the champion,
    of equals the one that the contract names first.

    Raises:
        InputError: the contract lists a model of AutoML, and what that has left cannot be used; see `opened`.
    """
    prepared = held.prepared
    rows, classes = prepared.table.take(held.fit), prepared.classes[held.fit]
    ground = Ground(prepared.table.take(held.held), prepared.classes[held.held], np.unique(keys_of(rows, classes)))
    features, matrix, _ = featured(held, contract)
    pipelines = _fitted(
        features, matrix, classes, contract, found, lambda: opened(automl, contract, features, matrix, classes)
    )
    names = tuple(pipelines)
    candidates = Candidates(pipelines, names[0])
    probabilities = candidates.probabilities(ground.table, names)
    metrics = {name: measure(ground.classes, probabilities[name], candidates.classes(name)) for name in names}
    best = max(names, key=lambda name: (_worth(metrics[name], contract.selection), -names.index(name)))
    return Evaluated(Candidates(pipelines, best), metrics, probabilities, ground)


def finish(
    held: Held,
    contract: DatasetContract,
    found: Found,
    evaluated: Evaluated,
    folder: Path,
    champion: Path | None,
    *,
    version: int = 1,
    date: str | None = None,
) -> dict[str, Any]:
    """Fit the candidates on all rows, compare with the live model, and write everything. A model of AutoML stays the
    one that was measured: only another search could fit it anew.

    Returns:
        What `metrics.json` holds; the bundle holds the same but for what depends on the champion.
    """
    prepared, best = held.prepared, evaluated.candidates.best
    features, matrix = _features(prepared.table, prepared.classes, contract)
    kept = next((evaluated.candidates[each.name] for each in contract.models if each.algorithm == AUTOML), None)
    final = Candidates(_fitted(features, matrix, prepared.classes, contract, found, lambda: kept), best)
    metrics = _described(held, contract, found, evaluated)
    measured = evaluated.candidates[best]
    compared = {**metrics, **compare(Judged(measured, evaluated.ground), champion, contract)}
    profile = make_table_profile(
        contract.name,
        columns_of(prepared.table),
        ("confidence", evaluated.probabilities[best].max(axis=1)),
        dict(_counted(evaluated.said[best])),
        prepared.unusable,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.json").write_text(contract.model_dump_json(indent=1), encoding="utf-8")
    write_metrics(folder, compared)
    write_profile(folder, profile)
    evaluated.ground.save(folder, contract.target)
    short = next(model.short_name for model in contract.models if model.name == best)
    save_bundle(folder, final, contract, metrics, profile, name=f"{short}_{contract.name}_v{version}.joblib")
    save_bundle(folder, measured, contract, {}, name=MEASURED_NAME)
    if date is not None:
        _draw(folder / FIGURES, contract, evaluated, date)
    return compared


def columns_of(table: Table) -> dict[str, NDArray[Any]]:
    """The numbers and texts of a table, as a profile counts them."""
    return {**table.numbers, **{name: texts.objects() for name, texts in table.texts.items()}}


def _features(table: Table, classes: Classes, contract: DatasetContract) -> tuple[TableFeatures, csr_matrix]:
    features = TableFeatures(features_of(contract), contract.split.seed)
    with one_core():
        return features, features.fit_transform(table, classes)


def _fitted(
    features: TableFeatures,
    matrix: csr_matrix,
    classes: Classes,
    contract: DatasetContract,
    found: Found,
    by_automl: Callable[[], Pipeline],
) -> dict[str, Pipeline]:
    """Every candidate's pipeline, all with the same features, which are computed once; but that of AutoML, which comes
    as it was fitted."""
    pipelines = {}
    with one_core():
        for model in contract.models:
            if model.algorithm == AUTOML:
                pipelines[model.name] = by_automl()
                continue
            steps = fit(matrix, classes, model.algorithm, found.parameters[model.name], contract.split.seed)
            pipelines[model.name] = Pipeline([("features", features), *steps.steps])
    return pipelines


def _draw(folder: Path, contract: DatasetContract, evaluated: Evaluated, date: str) -> None:
    best, selection = evaluated.candidates.best, contract.selection
    known = evaluated.candidates.classes(best)
    models = [(name, each[selection]) for name, each in evaluated.metrics.items() if selection in each]
    truth, probabilities = evaluated.ground.classes, evaluated.probabilities[best]
    draw(folder, contract.name, date, truth, probabilities, known, models, selection)


def _worth(metrics: Metrics, selection: str) -> float:
    value = metrics.get(selection)
    if value is None:
        return float("-inf")
    return -value if selection in LESS_IS_BETTER else value


def _described(held: Held, contract: DatasetContract, found: Found, evaluated: Evaluated) -> dict[str, Any]:
    best = evaluated.candidates.best
    labels = sorted({*held.prepared.classes.tolist()})
    algorithms = {model.name: model.algorithm for model in contract.models}
    models = [
        {
            "name": name,
            "algorithm": algorithms[name],
            "best": name == best,
            "parameters": dict(found.parameters[name]),
            "metrics": dict(evaluated.metrics[name]),
            "classes": report(evaluated.ground.classes, evaluated.said[name]),
            "confusion": confusion(evaluated.ground.classes, evaluated.said[name], labels),
            **({"tuning": found.searches[name]} if found.searches[name] else {}),
        }
        for name in evaluated.candidates
    ]
    chosen = next(each for each in models if each["best"])
    return {
        **evaluated.metrics[best],
        "rows": len(held.prepared.table),
        "rows_fit": len(held.fit),
        "rows_holdout": len(held.held),
        "seed": contract.split.seed,
        "champion_model": best,
        "champion_algorithm": algorithms[best],
        "selection": contract.selection,
        "measured_on": f"{contract.split.test:.0%} of the rows, by models fitted on the rest",
        "final_model": _AS_FOUND if algorithms[best] == AUTOML else f"fitted on {_FITTED_ON}",
        "rows_by_class": dict(_counted(held.prepared.classes)),
        "classes": chosen["classes"],
        "confusion": {"labels": labels, "counts": chosen["confusion"]},
        "models": models,
    }


def _counted(classes: Classes) -> list[tuple[str, int]]:
    names, counts = np.unique(classes, return_counts=True)
    return [(str(name), int(count)) for name, count in zip(names, counts, strict=True)]
