"""The declared contracts, with what is wrong with one as an error of the app's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

from aml.contract import ContractError, DatasetContract, contract_names, load_contract
from shared.errors import InvalidInputError

_log = logging.getLogger(__name__)


def contract_of(dataset: str) -> DatasetContract:
    """The contract of a dataset, or `InvalidInputError` (``unknown_dataset``, ``invalid_contract``)."""
    try:
        return load_contract(dataset)
    except ContractError as error:
        raise InvalidInputError(error.code, error.message) from error


def is_unsound(dataset: str) -> bool:
    """Whether the dataset is declared by a contract that cannot be used until somebody mends it."""
    try:
        load_contract(dataset)
    except ContractError as error:
        return error.code == "invalid_contract"
    return False


@cache
def _tell(code: str, message: str) -> None:
    _log.error("%s", message, extra={"code": code})


def sound_names() -> Iterator[str]:
    """The datasets whose contracts can be used: what is wrong with one is no reason to leave the others alone.

    Of one that cannot be used the log says why, once in a process: the timer asks every minute.
    """
    for name in contract_names():
        try:
            load_contract(name)
        except ContractError as error:
            _tell(error.code, error.message)
        else:
            yield name
