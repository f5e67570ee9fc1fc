"""Long-running operations: what Azure-AsyncOperation and Location lead to."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from .config import LOCATION, PROVIDER, Config
from .errors import ArmError, Json
from .store import Store

_NOT_ENDED = "0001-01-01T00:00:00+00:00"
_POLL_SECONDS = 1
# Nobody polls an operation that ended longer ago than this.
_KEPT = timedelta(days=1)


class Operations:
    """Operations by id; they outlive the process."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        for operation in store.under("operations"):
            if operation["status"] != "Updating" and _long_ago(operation["endTime"]):
                store.delete(f"operations/{operation['name']}")

    def begin(self, kind: str) -> str:
        """Start an operation and give its id; `kind` is its prefix (`oeidp` endpoints, `odidp` deployments)."""
        name = f"{kind}:{self._config.workspace_guid}:{uuid.uuid4()}"
        document = {
            "id": self._path("mfeOperationsStatus", name),
            "name": name,
            "startTime": datetime.now(UTC).isoformat(),
            "endTime": _NOT_ENDED,
            "percentComplete": 0.0,
            "status": "Updating",
        }
        self._store.put(f"operations/{name}", document)
        return name

    def end(self, name: str, error: ArmError | None = None) -> None:
        """The operation is over: it succeeded, or failed with `error`."""
        document = self._store.get(f"operations/{name}")
        if document is None:
            return
        document["endTime"] = datetime.now(UTC).isoformat()
        document["status"] = "Failed" if error else "Succeeded"
        if error:
            document["error"] = error.body()["error"]
        else:
            document["percentComplete"] = 100.0
        self._store.put(f"operations/{name}", document)

    def get(self, name: str) -> Json:
        """The operation's state. ArmError 404 when there was none."""
        document = self._store.get(f"operations/{name}")
        if document is None:
            raise ArmError(404, "NotFound", f"The operation '{name}' was not found.")
        return document

    def running(self) -> list[str]:
        """Ids of the operations that have not ended."""
        return [item["name"] for item in self._store.under("operations") if item["status"] == "Updating"]

    def headers(self, name: str, location: str | None = None) -> dict[str, str]:
        """Headers of the answer that starts an operation; `location` is the resource, else the operation's result."""
        result = location or f"{self._path('mfeOperationResults', name)}?api-version=2022-02-01-preview"
        return {
            "Azure-AsyncOperation": self.status_url(name) + "?api-version=2022-02-01-preview",
            "Location": self._config.url + result,
            "x-ms-async-operation-timeout": "PT30M",
        } | self.pace()

    def pace(self) -> dict[str, str]:
        """How soon to ask again. The cloud does not say, and the SDK then waits five to thirty seconds."""
        return {"Retry-After": str(_POLL_SECONDS)}

    def status_url(self, name: str) -> str:
        """Address of the operation's state."""
        return self._config.url + self._path("mfeOperationsStatus", name)

    def _path(self, plane: str, name: str) -> str:
        return f"/subscriptions/{self._config.subscription}/providers/{PROVIDER}/locations/{LOCATION}/{plane}/{name}"


def _long_ago(stamp: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(stamp) > _KEPT
