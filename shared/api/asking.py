"""What requests ask about: the dataset of their path, the JSON of their body, the blob that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aml.contract import ContractError, DatasetContract, load_contract
from shared.composition import App
from shared.errors import InvalidInputError
from shared.naming import place
from shared.storage import BlobInfo


def contract_of(dataset: str) -> DatasetContract:
    """The contract of a dataset, or `InvalidInputError` (``unknown_dataset``)."""
    try:
        return load_contract(dataset)
    except ContractError as error:
        raise InvalidInputError(error.code, error.message) from error


def json_object(body: bytes) -> dict[str, Any]:
    """The body, which must be a JSON object (``bad_json``)."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("bad_json", f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInputError("bad_json", "The body must be a JSON object.")
    return value


def records_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows in a body's `data` (``bad_json``)."""
    data = body.get("data")
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise InvalidInputError(
            "bad_json", 'The body must hold "data", a list of records, "series", one of points, or "blob", a name.'
        )
    return data


def blob_of(app: App, container: str, dataset: str, name: object) -> BlobInfo:
    """The blob that a person means: with or without the container, with or without the dataset's folder."""
    if not isinstance(name, str) or not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise InvalidInputError("bad_blob", "blob is the name of a file, with or without its folders.")
    bare = name.removeprefix(f"{container}/")
    if place(container, bare).dataset != dataset:
        bare = f"{dataset}/{bare}"
    return app.blobs.info(container, bare)
