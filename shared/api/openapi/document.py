"""The OpenAPI 3.1 description of the app, made of its routes, its shapes and its datasets' contracts.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from aml.contract import DatasetContract
from shared.api.openapi import shapes
from shared.api.openapi.operations import EVERYWHERE, OPERATIONS, Answer, Operation, Schema, ref
from shared.api.openapi.rows import (
    answer_name,
    answer_schema,
    example,
    prediction_name,
    prediction_schema,
    row_name,
    row_schema,
)
from shared.contracts import contract_of, sound_names
from shared.live import LiveModel
from shared.runs import Run
from shared.version import VERSION

PROBLEM = "application/problem+json"
_REFERENCE = "#/components/schemas/{model}"
_SHAPES = (
    *(shapes.Problem, shapes.Health, shapes.DatasetDetail, shapes.DatasetList, shapes.RunList, shapes.ModelVersions),
    *(shapes.TrainRequest, shapes.SeriesRequest, shapes.ScoredTable, shapes.Batch, shapes.Validated),
    *(shapes.ModelInformation, shapes.LineageAnswer),
    *(shapes.WholeSeries, shapes.LastPoint, shapes.ChangePoints, Run, LiveModel),
)
_PARAMETERS = {"id": "A run's id.", "version": "A registered version of the dataset's model.", "file": "Its name."}
_KEYS = {
    "key_in_header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
    "key_in_url": {"type": "apiKey", "in": "query", "name": "code"},
}
_EXAMPLES: Mapping[str, Callable[[Mapping[str, object]], object]] = {
    "PredictRow": lambda row: {"features": row},
    "PredictRows": lambda row: {"rows": [row]},
    "ScoreRows": lambda row: {"data": [row]},
}
_TAGS = {
    "scoring": "Rows, files and series scored.",
    "datasets": "What is declared.",
    "models": "Training, versions, which of them is in service.",
    "runs": "What became of everything that was dropped or asked for.",
    "app": "The app itself.",
}


@dataclass(frozen=True)
class Route:
    """A route as the host has it: `path` below the prefix, and the first words of the function's docstring."""

    method: str
    path: str
    function: str
    summary: str
    anonymous: bool = False


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes and of the datasets declared now, those with an unsound contract left out.

    A route of which `OPERATIONS` says nothing is described by its path alone (a test forbids it).
    """
    contracts = [contract_of(name) for name in sound_names()]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route, contracts)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dropscore",
            "version": VERSION,
            "summary": "Drop a file into blob storage and it is scored; drop a dataset and its model is retrained.",
            "description": "Errors are `application/problem+json` with a stable `code`, each explained in "
            "docs/operations.md. Statuses 401 and 404 without a body are the host's own.",
        },
        "servers": [{"url": "/api"}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": _schemas(contracts), "securitySchemes": _KEYS},
        "security": [{name: []} for name in _KEYS],
    }


def _schemas(contracts: Sequence[DatasetContract]) -> dict[str, Schema]:
    _, defined = models_json_schema([(shape, "validation") for shape in _SHAPES], ref_template=_REFERENCE)
    schemas: dict[str, Schema] = defined["$defs"]
    for each in contracts:
        schemas[row_name(each)] = row_schema(each)
        schemas[prediction_name(each)] = prediction_schema(each)
        if each.task == "classification":
            schemas[answer_name(each)] = answer_schema(each)
    return schemas | _asked(contracts) | _answered(contracts, schemas)


def _asked(contracts: Sequence[DatasetContract]) -> dict[str, Schema]:
    """The bodies that hold rows, or name a file of them."""
    row = {"anyOf": [ref(row_name(each)) for each in contracts]}
    rows = {"type": "array", "items": row, "minItems": 1}
    model = {"type": "string", "description": "Which model answers, as `model` in the URL."}
    blob = {"type": "string", "description": "Name of a file in `incoming`."}
    return {
        "ScoreRows": _object({"data": rows, "model": model}, "data"),
        "ScoreBlob": _object({"blob": blob, "model": model}, "blob"),
        "PredictRow": {"anyOf": [_object({"features": row, "model": model}, "features"), row]},
        "PredictRows": {"anyOf": [_object({"rows": rows, "model": model}, "rows"), rows]},
    }


def _answered(contracts: Sequence[DatasetContract], schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The answers that hold what is said of rows."""
    said = [ref(prediction_name(each)) for each in contracts]
    told: list[Schema] = [ref(answer_name(each)) for each in contracts if answer_name(each) in schemas]
    made: dict[str, Schema] = {"Predicted": {"anyOf": told} if told else {"type": "object"}}
    entries: Schema
    for name, entries in (("ScoredTable", {"anyOf": said}), ("Batch", ref("Predicted"))):
        properties = {**schemas[name]["properties"], "predictions": {"type": "array", "items": entries}}
        made[name] = {**schemas[name], "properties": properties}
    return made


def _object(properties: Mapping[str, Schema], required: str) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": [required]}


def _operation(route: Route, contracts: Sequence[DatasetContract]) -> dict[str, Any]:
    known = OPERATIONS.get((route.method, route.path)) or Operation("app", {200: Answer("The answer.", {})})
    made: dict[str, Any] = {
        "operationId": route.function,
        "summary": route.summary,
        "tags": [known.tag],
        "responses": _responses(route, known),
    }
    if known.description:
        made["description"] = known.description
    parameters = [*_path_parameters(route, contracts), *({**vars(each), "in": "query"} for each in known.query)]
    if parameters:
        made["parameters"] = parameters
    if known.body:
        made["requestBody"] = {"required": known.body_required, "content": _content(known.body, contracts)}
    if route.anonymous:
        made["security"] = []
    return made


def _path_parameters(route: Route, contracts: Sequence[DatasetContract]) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", route.path):
        schema: Schema = {"type": "string"}
        words = _PARAMETERS.get(name, "")
        if name == "dataset":
            schema, words = {"type": "string", "enum": [each.name for each in contracts]}, "A declared dataset."
        yield {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _content(body: Mapping[str, Schema], contracts: Sequence[DatasetContract]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": schema} for media_type, schema in body.items()}
    for media_type, schema in body.items():
        offered = [schema, *schema.get("anyOf", ())]
        for name, wrap in _EXAMPLES.items():
            if ref(name) in offered:
                fitting = [each for each in contracts if name == "ScoreRows" or each.task == "classification"]
                content[media_type]["examples"] = {
                    each.name: {"summary": f"One row of {each.name}", "value": wrap(example(each))} for each in fitting
                }
    return content


def _responses(route: Route, known: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status, answer in known.replies.items():
        made[str(status)] = {
            "description": answer.description,
            "content": {media_type: {"schema": schema} for media_type, schema in answer.content.items()},
        }
    if not route.anonymous:
        made["401"] = {"description": "No function key, or a wrong one."}
    problems = dict(known.problems)
    for status, codes in EVERYWHERE.items():
        if not route.anonymous:
            problems[status] = (*problems.get(status, ()), *codes)
    for status, codes in sorted(problems.items()):
        made[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
            "content": {
                PROBLEM: {"schema": {"allOf": [ref("Problem")], "properties": {"code": {"examples": [*codes]}}}}
            },
        }
    return made
