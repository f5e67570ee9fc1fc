"""The contract's schema for editors, and what is wrong with a contract, on the command line.

    python -m aml.schema                 writes aml/datasets/contract.schema.json anew
    python -m aml.schema my.yml …        checks these contracts; everything that is wrong with them, in words

An editor that knows the YAML language server completes and checks a contract whose first line is
`# yaml-language-server: $schema=contract.schema.json`.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aml.contract import Column, ContractError, DatasetContract, Feature, Model, ModelTuning, Tuning, read_contract
from aml.contract.checks import NOT_FOR_FILES
from aml.contract.loading import FOLDER

FILE = FOLDER / "contract.schema.json"
_DESCRIBED: tuple[type[BaseModel], ...] = (Column, Feature, Model, ModelTuning, Tuning)
_ENTRY = re.compile(r"^    (\w[\w, ]*): ?(.*(?:\n(?:        .*|\s*)$)*)", re.MULTILINE)
_TASKS: dict[str, dict[str, Any]] = {
    "classification": {"required": ["target", "features", "models"]},
    "anomaly": {"required": ["contamination", "predictions"], "properties": {"target": False}},
}


def schema() -> dict[str, Any]:
    """The JSON Schema of a contract's file."""
    found = DatasetContract.model_json_schema()
    for name in NOT_FOR_FILES:
        del found["properties"][name]
    _describe(found, DatasetContract)
    for model in _DESCRIBED:
        _describe(found["$defs"][model.__name__], model)
    found["title"] = "dropscore contract"
    found["allOf"] = [
        {"if": {"properties": {"task": {"const": task}}}, "then": conditions} for task, conditions in _TASKS.items()
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _describe(found: dict[str, Any], model: type[BaseModel]) -> None:
    """Gives the properties the words that the docstring's `Attributes` have for them, and leaves the others."""
    told = inspect.getdoc(model) or ""
    found["description"] = " ".join(told.partition("\n\n")[0].split())
    _, _, attributes = told.partition("Attributes:\n")
    for names, words in _ENTRY.findall(attributes):
        for name in re.split(r",\s*", names):
            if name in found["properties"]:
                found["properties"][name]["description"] = " ".join(words.split())


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Writes the schema, or checks the contracts named; how many of them are at fault."""
    if not arguments:
        FILE.write_text(text(), encoding="utf-8")
        return 0
    wrong = 0
    for name in arguments:
        try:
            read_contract(Path(name))
        except (ContractError, OSError) as error:
            print(error.message if isinstance(error, ContractError) else error, file=sys.stderr)
            wrong += 1
    return wrong


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
