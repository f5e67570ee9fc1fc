"""Schemas of a dataset's rows and predictions, from its contract."""

from __future__ import annotations

from typing import Any

from aml.contract import Column, DatasetContract, PredictionColumn

Schema = dict[str, Any]

_TYPES = {"integer": "integer", "number": "number", "text": "string", "time": "string"}


def row_name(contract: DatasetContract) -> str:
    """The name of the schema of the dataset's rows."""
    return f"{contract.name.capitalize()}Row"


def prediction_name(contract: DatasetContract) -> str:
    """The name of the schema of what is said of a row."""
    return f"{contract.name.capitalize()}Prediction"


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
    """What is said of a row: prediction columns, null where there is none, and then why not in `error`."""
    error = {"type": "string", "description": "Why the row has no prediction; not there where it has one."}
    columns = {column.name: _prediction(column) for column in contract.predictions}
    return {
        "type": "object",
        "title": f"What is said of a row of {contract.name}",
        "properties": {**columns, "error": error},
    }


def example(contract: DatasetContract) -> dict[str, object]:
    """A row with a value in every required column."""
    return {column.name: _example(column) for column in contract.columns if column.required}


def _column(column: Column) -> Schema:
    described: Schema = {"type": _TYPES[column.type], "description": _words(column)}
    if column.type == "number":
        described["type"] = ["number", "string"]  # a text is read as in a file: `1,5` is a number
    if column.categories:
        described["enum"] = list(column.categories)
    if not column.required:
        described["type"] = [*_listed(described["type"]), "null"]
        if "enum" in described:
            described["enum"].append(None)
    return described


def _words(column: Column) -> str:
    said = ["Optional." if not column.required else "Required."]
    if column.minimum is not None or column.maximum is not None:
        low = "" if column.minimum is None else f"from {column.minimum:g} "
        high = "" if column.maximum is None else f"to {column.maximum:g}"
        said.append(f"A number {low}{high}".rstrip() + ".")
    if column.aliases:
        said.append(f"Also called {', '.join(column.aliases)}.")
    return " ".join(said)


def _prediction(column: PredictionColumn) -> Schema:
    return {"type": [_TYPES[column.type], "null"]}


def _example(column: Column) -> object:
    if column.type == "time":
        return "2026-11-01 00:00:00"
    if column.type == "text":
        return column.categories[0] if column.categories else "text"
    bounds = [bound for bound in (column.minimum, column.maximum) if bound is not None]
    return sum(bounds) / len(bounds) if bounds else 1.0


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types
