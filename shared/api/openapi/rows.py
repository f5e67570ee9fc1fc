"""Schemas of a dataset's rows and predictions, from its contract."""

from __future__ import annotations

from typing import Any

from aml.contract import Column, DatasetContract, PredictionColumn

Schema = dict[str, Any]

_ERROR: Schema = {"type": "string", "description": "Why the row has no prediction; not there where it has one."}
_WARNINGS: Schema = {
    "type": "array",
    "items": {"type": "string"},
    "description": "What is odd about the row, which has a prediction nevertheless.",
}
_TYPES = {"integer": "integer", "number": "number", "text": "string", "time": "string"}


def row_name(contract: DatasetContract) -> str:
    """The name of the schema of the dataset's rows."""
    return f"{contract.name.capitalize()}Row"


def prediction_name(contract: DatasetContract) -> str:
    """The name of the schema of what is said of a row."""
    return f"{contract.name.capitalize()}Prediction"


def answer_name(contract: DatasetContract) -> str:
    """The name of the schema of what `predict` answers."""
    return f"{contract.name.capitalize()}Answer"


def row_schema(contract: DatasetContract) -> Schema:
    """A row as a client may send it: columns by their canonical names, others are carried along.

    Nothing is `required`: a column may go by another name, and a row that lacks a value keeps its place in the answer.
    """
    return {
        "type": "object",
        "title": f"A row of {contract.name}",
        "properties": {column.name: _column(column) for column in contract.columns},
        "examples": [example(contract)],
    }


def prediction_schema(contract: DatasetContract) -> Schema:
    """What is said of a row: the prediction columns of what was asked, null where there is none, and then why not in
    `error`."""
    columns = {
        column.name: _prediction(column, contract)
        for choice in contract.choices
        for column in contract.answering(choice).predictions
    }
    return {
        "type": "object",
        "title": f"What is said of a row of {contract.name}",
        "properties": {**columns, "error": _ERROR},
    }


def answer_schema(contract: DatasetContract) -> Schema:
    """What `predict` answers of a row: the class by the target's name, or by the name of each model's column."""
    columns = prediction_schema(contract)["properties"]
    shares = {f"p_{each}" for each in contract.classes}
    share = {"type": ["number", "null"]}
    return {
        "type": "object",
        "title": f"A row of {contract.name}, classified",
        "properties": {
            **{name: schema for name, schema in columns.items() if name not in shares},
            "probabilities": {"type": "object", "properties": {each: share for each in contract.classes}},
            "input_features": {"type": "object", "description": "The row, as it was given."},
            "model": {"$ref": "#/components/schemas/AnsweringModel"},
            "model_version": {"type": "string"},
            "prediction_timestamp": {"type": "string", "format": "date-time"},
            "warnings": _WARNINGS,
        },
        "required": ["input_features", "model", "model_version", "prediction_timestamp", "warnings"],
    }


def example(contract: DatasetContract) -> dict[str, object]:
    """A row with a value in every required column."""
    return {column.name: _example(column) for column in contract.columns if column.required}


def _column(column: Column) -> Schema:
    described: Schema = {"type": _TYPES[column.type], "description": _words(column)}
    if column.type == "number":
        described["type"] = ["number", "string"]  # a text is read as in a file: `1,5` is a number
    if column.categories and column.outside == "error":
        described["enum"] = list(column.categories)
    if column.may_be_empty:
        described["type"] = [*_listed(described["type"]), "null"]
        if "enum" in described:
            described["enum"].append(None)
    return described


def _words(column: Column) -> str:
    said = ["Optional." if not column.required else "Required."]
    if column.minimum is not None or column.maximum is not None or column.unit is not None:
        low = "" if column.minimum is None else f" from {column.minimum:g}"
        high = "" if column.maximum is None else f" to {column.maximum:g}"
        said.append(f"A number{low}{high}{'' if column.unit is None else f' in {column.unit}'}.")
    if column.length is not None:
        said.append(f"{column.length} characters.")
    if column.categories and column.outside != "error":
        said.append(f"One of {', '.join(column.categories)}.")
    if column.outside == "warning":
        said.append("Another one is scored with a warning.")
    if column.impute is not None:
        said.append(f"Filled in where it is empty ({column.impute} of the training data).")
    if column.otherwise is not None:
        said.append(f"Where it is not there: {column.otherwise}.")
    if column.aliases:
        said.append(f"Also called {', '.join(column.aliases)}.")
    return " ".join(said)


def _prediction(column: PredictionColumn, contract: DatasetContract) -> Schema:
    if column.type == "text" and contract.classes:
        return {"type": ["string", "null"], "enum": [*contract.classes, None]}
    return {"type": [_TYPES[column.type], "null"]}


def _example(column: Column) -> object:
    if column.type == "time":
        return "2026-11-01 00:00:00"
    if column.type == "text":
        return column.categories[0] if column.categories else "text"[: column.length].ljust(column.length or 0, "x")
    bounds = [bound for bound in (column.minimum, column.maximum) if bound is not None]
    middle = sum(bounds) / len(bounds) if bounds else 1.0
    return round(middle) if all(bound.is_integer() for bound in bounds) else middle


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types
