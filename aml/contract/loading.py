"""The declared contracts: one YAML file each, in `aml/datasets/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aml.contract.base import ContractError
from aml.contract.dataset import DatasetContract
from aml.contract.words import faults_of, told

FOLDER = Path(__file__).resolve().parents[1] / "datasets"


def contract_names() -> tuple[str, ...]:
    """The names of the declared datasets, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yml")))


@cache
def load_contract(name: str) -> DatasetContract:
    """The contract of the dataset `name`.

    Raises:
        ContractError: ``unknown_dataset`` when none is declared under this name; ``invalid_contract``.
    """
    if name not in contract_names():
        known = ", ".join(contract_names())
        raise ContractError("unknown_dataset", f"There is no dataset {name!r}; the declared ones are: {known}.")
    return read_contract(FOLDER / f"{name}.yml")


def read_contract(path: Path) -> DatasetContract:
    """The contract that a file declares.

    Raises:
        ContractError: ``invalid_contract``, with everything that is wrong in it: the place, what is wrong there, and
            what would be right.
    """
    text = path.read_text(encoding="utf-8")
    contract, faults = faults_of(text, path.stem)
    if contract is None:
        raise ContractError("invalid_contract", told(path.name, text, faults))
    return contract
