"""Holds what the doors answer to what the app's description says they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import function_app
from shared import api

_HERE = "urn:description"


# Made when tests are collected: one that declares another contract would leave its description to all that follow.
_DESCRIPTION: dict[str, Any] = json.loads(api.openapi(function_app._routes()).body)


def description() -> dict[str, Any]:
    """The document that the app answers."""
    return _DESCRIPTION


def require_described(method: str, template: str, status: int, media_type: str, body: bytes) -> None:
    """The reply is one that the description has for this route, its body of the declared shape and nothing more."""
    operation = description()["paths"][f"/{template}"][method.lower()]
    replies = operation["responses"]
    assert str(status) in replies, f"{method} {template} answers {status}, of which the description says nothing"
    content = replies[str(status)]["content"]
    media_type = media_type.partition(";")[0]
    assert media_type in content, f"{method} {template} answers {status} with {media_type}"
    if not media_type.endswith("json"):
        return
    answered = json.loads(body)
    fault = best_match(_validator(json.dumps(content[media_type]["schema"]), closed=True).iter_errors(answered))
    assert fault is None, f"{method} {template} {status}: {fault.json_path}: {fault.message[-500:]}"
    if media_type == "application/problem+json" and (codes := _codes(content[media_type]["schema"])):
        assert answered["code"] in codes, f"{method} {template} {status}: nothing is said of {answered['code']}"


def require_taken(method: str, template: str, body: Any) -> None:
    """A JSON body that the app took is one that the description lets clients send."""
    operation = description()["paths"][f"/{template}"][method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    fault = best_match(_validator(json.dumps(schema), closed=False).iter_errors(body))
    assert fault is None, f"{method} {template} takes what it is said not to take: {fault.message[-500:]}"


def _codes(schema: Mapping[str, Any]) -> list[str]:
    found: list[str] = schema.get("properties", {}).get("code", {}).get("examples", [])
    return found


@cache
def _validator(schema: str, *, closed: bool) -> Draft202012Validator:
    schemas = _closed() if closed else description()["components"]["schemas"]
    registry: Registry[Any] = Registry().with_resource(
        _HERE, Resource.from_contents({"components": {"schemas": schemas}}, default_specification=DRAFT202012)
    )
    return Draft202012Validator(json.loads(schema.replace('"#/', f'"{_HERE}#/')), registry=registry)


def _closed() -> dict[str, Any]:
    """The schemas with nothing beside their properties: clients may get more one day, and here it must be declared."""
    schemas: dict[str, Any] = json.loads(json.dumps(description()["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return schemas
