"""Which of a dataset's models is asked: as a request or a file's metadata `model` say, or else as the contract does."""

from __future__ import annotations

from aml.contract import ContractError, DatasetContract
from shared.contracts import contract_of
from shared.errors import ConflictError, InvalidInputError
from shared.naming import INCOMING, place
from shared.runs import Run
from shared.storage import BlobInfo

_METADATA = "model"


def wish_of(blob: BlobInfo) -> str | None:
    """What the metadata of a dropped file say of the model; None where they say nothing.

    Events carry no metadata, so that it is those of the version that was looked up. Their names have no case. Of a
    series, which has one model, they say nothing: whoever uploads meters' files may mean the meter's by `model`.
    """
    said = [value.strip() for name, value in blob.metadata.items() if name.lower() == _METADATA]
    return said[0] if said and said[0] and not _is_series(place(INCOMING, blob.name).dataset) else None


def _is_series(dataset: str) -> bool:
    try:
        return not contract_of(dataset).is_table
    except InvalidInputError:
        return False


def asking(contract: DatasetContract, choice: str | None) -> DatasetContract:
    """The contract with the prediction columns of what was chosen, see `DatasetContract.answering`.

    Raises:
        InvalidInputError: ``unknown_model``.
    """
    try:
        return contract.answering(choice)
    except ContractError as error:
        raise InvalidInputError(error.code, error.message) from error


def contract_for(dataset: str, choice: str | None) -> DatasetContract:
    """The contract by which a file of a declared dataset is scored; raises what `asking` raises."""
    return asking(contract_of(dataset), choice)


def require_same_choice(run: Run, choice: str | None) -> None:
    """An open run goes on asking the model that it began with.

    Raises:
        ConflictError: ``run_under_way``, another one is wished for.
    """
    if run.choice != choice:
        raise ConflictError(
            "run_under_way",
            f"The run {run.id} of this file is under way and asks {run.choice or 'what the contract says'}; ask for "
            f"{choice or 'that'} once it has ended.",
            run=run.id,
        )
