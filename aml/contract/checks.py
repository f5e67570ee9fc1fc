"""How the parts of a contract must hang together. Each check says which keys it looks at, so that the others can be
made although one of these is at fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from aml.contract.base import Fault, Key
from aml.contract.candidates import faults_of_candidates, faults_of_roles
from aml.contract.columns import normalise
from aml.contract.models import AUTOML

if TYPE_CHECKING:
    from aml.contract.dataset import DatasetContract

_Faults = Iterator[Fault]

NOT_FOR_FILES = ("asked",)
"""Keys of a contract that its file may not have."""

BESIDE_AN_ANSWER = frozenset(
    {"error", "probabilities", "input_features", "warnings", "model", "model_version", "prediction_timestamp"}
)
"""What stands beside a row's class and confidence where it is answered as JSON."""

_OF_A_SERIES = ("time", "value")
_NOT_OF_A_TABLE = ("time", "value", "series", "timezone", "holidays", "candidates", "alarms", "label", "exogenous")
_OF_A_CLASSIFICATION = ("target", "features", "models")


def faults(contract: DatasetContract, known: Collection[str] | None = None) -> Iterator[Fault]:
    """What does not fit together.

    Args:
        known: the keys of the contract that are sound in themselves; None: all of them.
    """
    for needs, check in _CHECKS:
        if known is None or needs <= set(known):
            yield from (fault for fault in check(contract) if known is None or fault.key[0] in known)


def _keys_of_a_classification(contract: DatasetContract) -> _Faults:
    if contract.task == "classification":
        yield from _required(contract, _OF_A_CLASSIFICATION, "a classification")
        yield from _forbidden(contract, (*_NOT_OF_A_TABLE, "contamination"), "a classification")


def _keys_of_an_anomaly(contract: DatasetContract) -> _Faults:
    if contract.task != "anomaly":
        return
    if contract.is_table:
        yield from _required(contract, ("models", "contamination", "predictions"), "an anomaly table")
        yield from _forbidden(contract, (*_NOT_OF_A_TABLE, "target"), "an anomaly table")
    else:
        yield from _required(contract, (*_OF_A_SERIES, "contamination", "predictions"), "an anomaly series")
        yield from _forbidden(contract, ("target", "models"), "an anomaly series")


def _fields_of_a_series(contract: DatasetContract) -> _Faults:
    """Nothing is filled in, and a row without a time or a value is none."""
    for at, column in enumerate(contract.columns if contract.task == "anomaly" and not contract.is_table else ()):
        if column.impute is not None:
            yield Fault(("columns", at, "impute"), "means nothing for an anomaly series", "leave it out")
        elif column.name in (contract.time, contract.value) and not column.required:
            yield Fault(("columns", at, "required"), f"each row needs its {column.name}", "leave it out")


def _context(contract: DatasetContract) -> _Faults:
    if contract.context_rows and contract.time is None:
        yield Fault(("context_rows",), "there is no order of time without a time column", "leave it out")


def _required(contract: DatasetContract, keys: tuple[str, ...], what: str) -> _Faults:
    for key in keys:
        if not getattr(contract, key):
            yield Fault((key,), "is missing", f"{what} needs it")


def _forbidden(contract: DatasetContract, keys: tuple[str, ...], what: str) -> _Faults:
    for key in keys:
        if getattr(contract, key):
            yield Fault((key,), f"means nothing for {what}", "leave it out")


def _roles(contract: DatasetContract) -> _Faults:
    types = {column.name: column.type for column in contract.columns}
    roles = {"time": "time", "value": "number", "series": "text", "target": "text"}
    for key, kind in roles.items():
        name = getattr(contract, key)
        if name is not None and types.get(name) != kind:
            yield Fault((key,), f"{name!r} is none", f"{name!r} must be declared as a column of type {kind}")


def _columns(contract: DatasetContract) -> _Faults:
    owner: dict[str, str] = {}
    for at, column in enumerate(contract.columns):
        if column.name in owner.values():
            yield Fault(("columns", at, "name"), f"{column.name!r} is declared twice", "keep one of the two")
            continue
        for label in (column.name, *column.aliases):
            if owner.setdefault(normalise(label), column.name) != column.name:
                yield Fault(("columns", at), f"{label!r} would fit two columns", "call it otherwise in one of them")


def _formulas(contract: DatasetContract) -> _Faults:
    """Expressions of columns, which may need other columns of the file, not ones that follow themselves."""
    columns = {column.name: column for column in contract.columns}
    for at, column in enumerate(contract.columns):
        source = column.source
        for name in () if source is None else source.names:
            key = ("columns", at, "otherwise")
            kind = "time" if source is not None and name in source.times else "number"
            yield from _is_of_type(contract, key, name, kind)
            if name in columns and columns[name].source is not None:
                yield Fault(key, f"{name!r} follows from others itself", "name the columns that it follows from")


def _is_of_type(contract: DatasetContract, key: tuple[str | int, ...], name: str, kind: str) -> _Faults:
    types = {column.name: column.type for column in contract.columns}
    if name not in types:
        yield Fault(key, f"there is no column {name!r}", f"the columns are {', '.join(types)}")
    elif types[name] != kind:
        yield Fault(key, f"{name!r} is a column of type {types[name]}", f"a {kind} is needed here")


def _features(contract: DatasetContract) -> _Faults:
    types = {column.name: column.type for column in contract.columns}
    for at, feature in enumerate(contract.features):
        formula = feature.formula
        if formula is not None:
            for name in formula.names:
                kind = "time" if name in formula.times else "number"
                yield from _is_of_type(contract, ("features", at, "expression"), name, kind)
        elif feature.column not in types:
            yield Fault(
                ("features", at, "column"),
                f"there is no column {feature.column!r}",
                f"the columns are {', '.join(types)}",
            )
        elif types[feature.column] == "time":
            yield Fault(
                ("features", at, "column"), "a time is nothing that models see", "use an expression, like hour(date)"
            )
        elif types[feature.column] == "text" and feature.encode is None:
            yield Fault(("features", at), "a text must be encoded", "add encode: one_hot, ordinal, target or frequency")
        if contract.target is not None and contract.target in feature.sources:
            yield Fault(("features", at), "the models would see what they are to predict", "leave the target out")
    for label, count in Counter(feature.label for feature in contract.features).items():
        if count > 1:
            yield Fault(("features",), f"{label!r} stands there {count} times", "give the others names of their own")


def _missing_values(contract: DatasetContract) -> _Faults:
    """What models see must be there, or be filled in."""
    columns = {column.name: column for column in contract.columns}
    for name in contract.inputs if contract.is_table else ():
        if not columns[name].required and columns[name].impute is None and columns[name].type != "time":
            at = list(columns).index(name)
            right = "add impute: median or mode, or make it required"
            yield Fault(("columns", at), f"{name!r} may be missing, and models need a value", right)


def _classes(contract: DatasetContract) -> _Faults:
    for at, column in enumerate(contract.columns):
        if column.name == contract.target and column.type == "text" and len(column.categories) < 2:
            yield Fault(
                ("columns", at, "categories"), "there are less than two classes", "list all that may be predicted"
            )


def _models(contract: DatasetContract) -> _Faults:
    for what, names in (
        ("name", [model.name for model in contract.models]),
        ("column", [model.answer_column(contract.target or "") for model in contract.models]),
    ):
        for name, count in Counter(names).items():
            if count > 1:
                yield Fault(("models",), f"{count} models have the {what} {name!r}", "give each its own")
    anomaly = contract.task == "anomaly"
    for at, model in enumerate(contract.models):
        if model.algorithm == AUTOML and not contract.tuning.is_automl:
            yield Fault(("models", at, "algorithm"), "nobody asks AutoML for a model", "add tuning: {method: automl}")
        if (model.algorithm == "isolation_forest") != anomaly:
            does = "finds anomalies" if model.algorithm == "isolation_forest" else "tells classes apart"
            key = ("models", at, "algorithm")
            yield Fault(key, f"{model.algorithm} {does}, and the task is {contract.task}", "choose another algorithm")
    if sum(model.algorithm == AUTOML for model in contract.models) > 1:
        yield Fault(("models",), "AutoML finds one model", "keep one that is of automl")
    if anomaly and len(contract.models) > 1:
        yield Fault(("models",), "an anomaly table has one model", "keep one of them")
    if contract.task == "classification" and contract.answer not in contract.choices:
        yield Fault(
            ("answer",), f"there is no model {contract.answer!r}", f"it is one of {', '.join(contract.choices)}"
        )


def _answers(contract: DatasetContract) -> _Faults:
    if contract.task != "classification" or not contract.predictions or contract.answer not in contract.choices:
        return
    if contract.answering(contract.asked).predictions != contract.predictions:
        yield Fault(("predictions",), "the columns of a classification follow from its target", "leave them out")


def _reserved(contract: DatasetContract) -> _Faults:
    """Columns of the answer that would be lost in JSON, where something else has their name."""
    answers: list[tuple[Key, str]] = [(("predictions", at), each.name) for at, each in enumerate(contract.predictions)]
    reserved = frozenset({"error"})
    if contract.task == "classification":
        columns = [model.answer_column(contract.target or "") for model in contract.models]
        answers = [(("models", at, "column"), name) for at, name in enumerate(columns)]
        answers += [(("target",), contract.target or "")]
        reserved = BESIDE_AN_ANSWER
    for key, name in answers:
        if name in reserved:
            wrong = f"{name!r} stands beside the answer in what programs are answered"
            yield Fault(key, wrong, "call it otherwise")


def _said_twice(contract: DatasetContract) -> _Faults:
    """A target that is called `confidence`, or like the share of a class."""
    if contract.task == "classification" and contract.target in {column.name for column in contract.columns}:
        names = Counter(column.name.casefold() for column in contract.answering("best").predictions)
        for name in (name for name, count in names.items() if count > 1):
            yield Fault(("target",), f"two columns of the answer would be called {name!r}", "rename target or classes")


def _tuning(contract: DatasetContract) -> _Faults:
    if contract.task == "classification" and contract.tuning.method not in ("none", "automl"):
        yield Fault(("tuning",), "each of the models has its own", "write it there")
    try:
        contract.tuning.require_fits(contract.task)
    except ValueError as error:
        yield Fault(("tuning", "method"), str(error), "or leave tuning out")


_CHECKS: tuple[tuple[set[str], Callable[[DatasetContract], _Faults]], ...] = (
    ({"task"}, _keys_of_a_classification),
    ({"task", "features"}, _keys_of_an_anomaly),
    ({"task", "features", "columns", "time", "value"}, _fields_of_a_series),
    ({"time", "context_rows"}, _context),
    ({"columns", "time", "value", "series", "target"}, _roles),
    ({"columns"}, _columns),
    ({"columns"}, _formulas),
    ({"columns", "features", "target"}, _features),
    ({"columns", "features"}, _missing_values),
    ({"columns", "target"}, _classes),
    ({"task", "models", "target", "answer", "tuning"}, _models),
    ({"task", "models", "target", "answer", "columns", "predictions", "asked"}, _answers),
    ({"task", "columns", "target"}, _said_twice),
    ({"task", "models", "target", "predictions"}, _reserved),
    ({"task", "tuning"}, _tuning),
    ({"columns", "time", "value", "series", "label", "exogenous"}, faults_of_roles),
    ({"candidates", "tuning"}, faults_of_candidates),
)
