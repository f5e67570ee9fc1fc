"""The one error tree of the app. What a caller does follows from the branch, what an operator reads from the code.

    DropscoreError
    ├── GiveUpError                 trying again cannot help; the run ends, nobody retries
    │   ├── InvalidInputError       the file, row or request is at fault (ends a run as `failed` or `invalid`)
    │   │   └── shared.tables.TableError
    │   ├── NotFoundError           the thing that was asked for does not exist
    │   ├── EndpointRefusedError    the endpoint answered, and will answer the same again
    │   └── WorkspaceRefusedError   Azure ML refused a request, or a job or deployment failed
    └── TryAgainError               the same step may succeed later; the run waits and is looked at again
        ├── NoLiveModelError        no model of the dataset is in service yet
        ├── EndpointUnavailableError
        ├── WorkspaceUnavailableError
        ├── StorageUnavailableError
        └── ConflictError           somebody else moved the same record first

Every error carries a stable `code` (snake_case, but for codes of Azure's Anomaly Detector; documented in
docs/operations.md), a `message` in words for the person
who reads the run record, and in `where` what it concerns (blob, row, status, request id).
"""

from __future__ import annotations


class DropscoreError(Exception):
    """Base of every error the app raises on purpose.

    Args:
        code: stable identifier, the same in run records, problem+json answers and docs/operations.md.
        message: one or two sentences for the person who dropped the file or runs the app.
        where: what it concerns, for logs and records, e.g. ``{"blob": "incoming/gas/x.csv", "status": 503}``.
    """

    def __init__(self, code: str, message: str, **where: object) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.where = {name: value for name, value in where.items() if value is not None}


class GiveUpError(DropscoreError):
    """Trying again cannot help."""


class InvalidInputError(GiveUpError):
    """The file, the row or the request is at fault."""


class NotFoundError(GiveUpError):
    """What was asked for does not exist."""


class EndpointRefusedError(GiveUpError):
    """The endpoint refused the request for good: 400, 401, 403, 404, or 424 around one of them."""


class WorkspaceRefusedError(GiveUpError):
    """Azure ML refused a request, or what it ran for us ended in failure."""


class TryAgainError(DropscoreError):
    """The same step may succeed later."""


class NoLiveModelError(TryAgainError):
    """No model of the dataset is in service yet."""


class EndpointUnavailableError(TryAgainError):
    """The endpoint did not answer, or said 408, 429 or 5xx until patience ended."""


class WorkspaceUnavailableError(TryAgainError):
    """Azure ML's management plane did not answer, throttled, or said 5xx."""


class StorageUnavailableError(TryAgainError):
    """The storage account did not answer, throttled, or said 5xx, although the SDK tried again."""


class ConflictError(TryAgainError):
    """A conditional write lost: somebody else moved the same record first."""
