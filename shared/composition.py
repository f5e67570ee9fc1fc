"""Puts the app together from its settings, once per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ExponentialRetry
from azure.storage.queue import QueueServiceClient

from shared import telemetry
from shared.drift.profile import Profiles
from shared.drift.watch import DriftWatch
from shared.errors import EndpointUnavailableError, InvalidInputError, StorageUnavailableError
from shared.live import LiveModels
from shared.naming import CONTAINERS
from shared.retraining.events import WorkspaceEvent
from shared.retraining.lifecycle import OPEN
from shared.retraining.reconciler import Retraining
from shared.retraining.remote import RemoteWorkspace
from shared.retraining.retirement import Retirement
from shared.retraining.stage import Parts
from shared.retraining.workspace import Workspace
from shared.runs import RunStore
from shared.scoring.bundle import Bundles
from shared.scoring.files import ENDS, STATES, FileScoring
from shared.scoring.history import History
from shared.scoring.inline import InlineScoring
from shared.scoring.revisions import Revisions
from shared.scoring.targets import AML_SCOPE, Targets
from shared.settings import Settings
from shared.storage import AzureBlobStore, AzureQueue, BlobStore, Queue
from shared.work import WORK_QUEUE, WorkDesk

_OPEN = OPEN | (STATES - ENDS)
_READING: dict[str, Any] = {"connection_data_block_size": 1 << 20}
"""A blob's bytes come in parts so large that the memory of each goes back to the system, see `shared.memory`."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Identity:
    """The app's own identity: managed identity in the cloud, whatever DefaultAzureCredential finds elsewhere."""

    @cached_property
    def credential(self) -> TokenCredential:
        """The credential; it keeps its tokens and renews them."""
        return DefaultAzureCredential()

    def token(self, fresh: bool) -> str:
        """A bearer token for online endpoints; `fresh` discards what was kept, after an endpoint refused it.

        Raises:
            EndpointUnavailableError: ``endpoint_unauthorized``, nobody vouches for the app at the moment.
        """
        if fresh:
            self.__dict__.pop("credential", None)
        try:
            return self.credential.get_token(AML_SCOPE).token
        except AzureError as error:
            raise EndpointUnavailableError(
                "endpoint_unauthorized", f"The app's identity gets no token for the endpoint ({type(error).__name__})."
            ) from error


@dataclass
class App:
    """The use cases that the doors call, around one set of seams; tests hand in fakes for the seams."""

    settings: Settings
    blobs: BlobStore
    queue: Queue
    workspace: Workspace
    token: Callable[[bool], str]
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Wires the use cases together and creates missing containers."""
        self.runs = RunStore(self.blobs)
        self.live = LiveModels(self.blobs)
        self.history = History(self.blobs)
        self.targets = Targets(self.settings, self.live, self.token, self.sleep, Bundles(self.blobs))
        self.retraining = Retraining(
            Parts(
                settings=self.settings,
                blobs=self.blobs,
                runs=self.runs,
                live=self.live,
                history=self.history,
                targets=self.targets,
                workspace=self.workspace,
                clock=self.clock,
            )
        )
        self.desk = WorkDesk(self.settings, self.runs, self.live, self.queue, self.clock, self.retraining.abandon)
        self.revisions = Revisions(self.blobs, self.runs, self.history, self.desk.ask, self.clock)
        self.inline = InlineScoring(self.settings, self.history, self.targets)
        self.files = FileScoring(
            settings=self.settings,
            blobs=self.blobs,
            runs=self.runs,
            revisions=self.revisions,
            targets=self.targets,
            clock=self.clock,
            ask_for_part=self.desk.ask_for_part,
        )
        self.retirement = Retirement(
            settings=self.settings,
            blobs=self.blobs,
            runs=self.runs,
            live=self.live,
            workspace=self.workspace,
            clock=self.clock,
        )
        self.drift = DriftWatch(self.settings, self.blobs, self.live, Profiles(self.blobs), self.clock)
        with suppress(StorageUnavailableError):  # then `reconcile` makes them, and until then health says why
            self.blobs.ensure_containers(CONTAINERS)

    def reconcile(self) -> None:
        """One look at everything that is open: training runs first, then the files that wait for them.

        Raises:
            ExceptionGroup: what broke unexpectedly; everything else was looked at nevertheless.
        """
        self.blobs.ensure_containers(CONTAINERS)
        broken = []
        for held in self.retraining.open_runs():
            try:
                self.retraining.advance(held)
            except Exception as error:
                error.add_note(f"in training run {held.run.id}")
                broken.append(error)
        self.desk.wake_files()
        self.revisions.settle_all()
        self.files.tidy()
        try:
            self.drift.look()
            self.retirement.look()
            if telemetry.levels_wanted():
                telemetry.standing((held.run for held in self.runs.search(states=_OPEN)), self.clock())
        finally:
            if broken:
                raise ExceptionGroup(f"{len(broken)} training runs broke", broken)

    def notice(self, event: WorkspaceEvent) -> None:
        """An event of Azure ML, which only speeds up what `reconcile` does anyway."""
        self.retraining.notice(event)

    def do(self, message: str) -> None:
        """One message of the work queue."""
        held, part = self.desk.asked(message)
        if held.run.kind == "train":
            self.retraining.advance(held)
        elif part is not None:
            self.files.part(held, *part)
        else:
            self.files.run(held)


def build(settings: Settings) -> App:
    """The app on real parts."""
    telemetry.start(settings.log_format)
    identity = Identity()
    blobs, queues = _storage(settings, identity)
    return App(
        settings=settings,
        blobs=AzureBlobStore(blobs),
        queue=AzureQueue(queues, WORK_QUEUE),
        workspace=RemoteWorkspace(),
        token=identity.token,
    )


def live_models(settings: Settings) -> LiveModels:
    """The live records alone, for tools that change nothing."""
    return LiveModels(AzureBlobStore(_storage(settings, Identity())[0]))


def _storage(settings: Settings, identity: Identity) -> tuple[BlobServiceClient, QueueServiceClient]:
    if settings.storage_connection is not None:
        connection = settings.storage_connection.get_secret_value()
        return (
            BlobServiceClient.from_connection_string(connection, **_patience(), **_READING),
            QueueServiceClient.from_connection_string(connection, **_patience()),
        )
    account = settings.storage_account_name
    blob_uri = settings.storage_blob_uri or (account and f"https://{account}.blob.core.windows.net")
    queue_uri = settings.storage_queue_uri or (account and f"https://{account}.queue.core.windows.net")
    if not blob_uri or not queue_uri:
        raise InvalidInputError(
            "storage_not_configured",
            "Set AzureWebJobsStorage to a connection string, or AzureWebJobsStorage__accountName to use an identity.",
        )
    return (
        BlobServiceClient(blob_uri, identity.credential, **_patience(), **_READING),
        QueueServiceClient(queue_uri, identity.credential, **_patience()),
    )


def _patience() -> dict[str, Any]:
    """Storage that does not answer is given some ten seconds, not the SDK's minute and more: the host tries again."""
    return {
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3),
        "connection_timeout": 5,
    }
