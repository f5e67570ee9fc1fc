"""Blob and queue triggers of a host over Azurite, seen from outside: blobs, queues, and what the functions noted."""

from __future__ import annotations

import base64
import json
import os
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient, QueueServiceClient

from local.azurite import Azurite
from local.functions.launch import FunctionsHost
from local.processes import free_port

APP = """
import os, time
import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = func.FunctionApp()
NOTES = os.environ["NOTES"]

def note(function, what):
    with open(NOTES, "a") as notes:
        notes.write(f"{function} {what}\\n")

@app.blob_trigger(arg_name="client", path="%PREFIX%scanned/gas/{name}", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="out", queue_name="%PREFIX%work", connection="AzureWebJobsStorage")
def scanned(client: blob.BlobClient, out: func.Out[str]) -> None:
    content = client.download_blob().readall().decode()
    note("scanned", f"{client.blob_name} {content}")
    if content == "crash":
        raise ValueError("cannot do this one")
    if content == "slow":
        while not os.path.exists(NOTES + ".go-on"):
            time.sleep(0.05)
    if content == "work":
        out.set(client.blob_name)

@app.blob_trigger(arg_name="stream", path="%PREFIX%events/{name}", connection="AzureWebJobsStorage", source="EventGrid")
def pushed(stream: func.InputStream) -> None:
    note("pushed", f"{stream.name.partition('/')[2]} {stream.length} {stream.read().decode()}")

@app.queue_trigger(arg_name="message", queue_name="%PREFIX%work", connection="AzureWebJobsStorage")
def worked(message: func.QueueMessage) -> None:
    note("worked", f"{message.get_body().decode()} {message.dequeue_count}")
    if message.get_body() == b"crash":
        raise ValueError("cannot do this one")

@app.event_grid_trigger(arg_name="event")
def noticed(event: func.EventGridEvent) -> None:
    note("noticed", f"{event.event_type} {event.subject} {event.get_json()['runId']}")
    if event.get_json()["runId"] == "crash":
        raise ValueError("cannot do this one")
"""


class Cloud:
    """A storage account, a host that can be restarted over it, and the notes that its functions take."""

    def __init__(self, azurite: Azurite, folder: Path) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:8]}-"
        self.host_id = self.prefix.rstrip("-")
        self.blobs: BlobServiceClient = BlobServiceClient.from_connection_string(azurite.connection_string)
        self.queues: QueueServiceClient = QueueServiceClient.from_connection_string(azurite.connection_string)
        self.log = folder / "host.log"
        self._notes = folder / "notes"
        self._app = folder / "app"
        self._app.mkdir()
        (self._app / "host.json").write_text('{"version": "2.0"}')
        (self._app / "function_app.py").write_text(textwrap.dedent(APP))
        own = {"AzureWebJobsStorage": azurite.connection_string, "NOTES": str(self._notes), "PREFIX": self.prefix}
        self._environment = {**os.environ, **own}

    def host(self, *options: str) -> FunctionsHost:
        return FunctionsHost(
            self._app,
            port=free_port(),
            environment=self._environment,
            log=self.log,
            scan_interval=0.2,
            options=("--host-id", self.host_id, *options),
        )

    def notes(self, start: str = "") -> list[str]:
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [line for line in lines if line.startswith(start)]

    def go_on(self) -> None:
        Path(f"{self._notes}.go-on").touch()

    def container(self, name: str) -> ContainerClient:
        client = self.blobs.get_container_client(self.prefix + name)
        if not client.exists():
            client.create_container()
        return client

    @property
    def internal_queue(self) -> QueueClient:
        return self.queues.get_queue_client(f"azure-webjobs-blobtrigger-{self.host_id}")

    def receipts(self) -> list[str]:
        hosts = self.blobs.get_container_client("azure-webjobs-hosts")
        if not hosts.exists():
            return []
        return list(hosts.list_blob_names(name_starts_with=f"blobreceipts/{self.host_id}/"))

    def write_receipt(self, blob: str, metadata: dict[str, str]) -> None:
        """A receipt as an earlier host left it; `Incomplete` in it says that there is no message yet."""
        client = self.blobs.get_blob_client(f"{self.prefix}scanned", blob)
        etag = client.get_blob_properties().etag.strip('"')
        hosts = self.blobs.get_container_client("azure-webjobs-hosts")
        if not hosts.exists():
            hosts.create_container()
        name = f'blobreceipts/{self.host_id}/Host.Functions.scanned/"{etag}"/{self.prefix}scanned/{blob}'
        hosts.upload_blob(name, b"", metadata=metadata)

    def close(self) -> None:
        self.blobs.close()
        self.queues.close()


@pytest.fixture(scope="module")
def cloud(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(azurite, tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def host(cloud: Cloud) -> Iterator[FunctionsHost]:
    """One host for most of the tests; it starts while no container exists."""
    with cloud.host() as host:
        yield host


def eventually(condition: Callable[[], bool], cloud: Cloud, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, cloud.log.read_text()
        time.sleep(0.05)


def messages(queue: QueueClient) -> list[str]:
    try:
        return [base64.b64decode(message.content).decode() for message in queue.peek_messages(32)]
    except ResourceNotFoundError:
        return []


def deliver(
    host: FunctionsHost, function: str, document: Any, kind: str = "Notification", plane: str = "blobs"
) -> tuple[int, bytes]:
    name = f"Host.Functions.{function}" if plane == "blobs" else function
    request = urllib.request.Request(
        f"{host.url}/runtime/webhooks/{plane}?functionName={name}&code=any",
        json.dumps(document).encode(),
        {"aeg-event-type": kind},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read()


def test_a_blob_gives_a_receipt_and_one_invocation_whose_output_is_a_message(cloud: Cloud, host: FunctionsHost) -> None:
    container = cloud.container("scanned")
    container.upload_blob("other/not-for-us.csv", b"no")

    container.upload_blob("gas/2026/a file.csv", b"work")

    eventually(lambda: cloud.notes("worked gas/2026/a file.csv") != [], cloud)
    assert cloud.notes("scanned gas/2026/a file.csv") == ["scanned gas/2026/a file.csv work"]
    assert cloud.notes("scanned other") == []
    (receipt,) = [name for name in cloud.receipts() if name.endswith(f"/{cloud.prefix}scanned/gas/2026/a file.csv")]
    etag = container.get_blob_client("gas/2026/a file.csv").get_blob_properties().etag
    assert receipt.split("/")[1:4] == [cloud.host_id, "Host.Functions.scanned", f'"{etag.strip(chr(34))}"']


def test_a_crash_is_tried_five_times_and_then_lies_in_the_poison_queue(cloud: Cloud, host: FunctionsHost) -> None:
    poison = cloud.queues.get_queue_client("webjobs-blobtrigger-poison")

    cloud.container("scanned").upload_blob("gas/crash.csv", b"crash")

    def poisoned() -> list[dict[str, str]]:
        found = [json.loads(message) for message in messages(poison)]
        return [message for message in found if message["ContainerName"] == f"{cloud.prefix}scanned"]

    eventually(lambda: poisoned() != [], cloud)
    (message,) = poisoned()
    assert (message["FunctionId"], message["BlobName"]) == ("Host.Functions.scanned", "gas/crash.csv")
    assert len(cloud.notes("scanned gas/crash.csv")) == 5


def test_each_version_of_a_blob_is_run_once_and_messages_for_what_is_no_more_are_dropped(
    cloud: Cloud, host: FunctionsHost
) -> None:
    container = cloud.container("scanned")
    container.upload_blob("gas/versions.csv", b"first")
    eventually(lambda: cloud.notes("scanned gas/versions.csv first") != [], cloud)
    container.upload_blob("gas/versions.csv", b"second", overwrite=True)
    eventually(lambda: cloud.notes("scanned gas/versions.csv second") != [], cloud)

    for name in ("gas/versions.csv", "gas/vanished.csv"):
        stale = {"Type": "BlobTrigger", "FunctionId": "Host.Functions.scanned", "BlobType": "BlockBlob"}
        stale |= {"ContainerName": f"{cloud.prefix}scanned", "BlobName": name, "ETag": '"0x1"'}
        cloud.internal_queue.send_message(base64.b64encode(json.dumps(stale).encode()).decode())

    dropped = [
        f"{cloud.prefix}scanned/gas/{end}"
        for end in ("versions.csv: the blob has changed", "vanished.csv: the blob is gone")
    ]
    eventually(lambda: all(f"dropped a message for {line}" in cloud.log.read_text() for line in dropped), cloud)
    eventually(lambda: messages(cloud.internal_queue) == [], cloud)
    assert cloud.notes("scanned gas/versions.csv") == [
        "scanned gas/versions.csv first",
        "scanned gas/versions.csv second",
    ]


def test_event_grid_feeds_the_functions_that_are_not_scanned(cloud: Cloud, host: FunctionsHost) -> None:
    blob = cloud.container("events").upload_blob("x/a b.csv", b"pushed content")
    event = {
        "eventType": "Microsoft.Storage.BlobCreated",
        "data": {"api": "PutBlob", "url": blob.url, "eTag": "0xother", "blobType": "BlockBlob"},
    }

    handshake = deliver(host, "pushed", [{"data": {"validationCode": "c0de"}}], kind="SubscriptionValidation")
    notified = deliver(host, "pushed", [event])

    assert json.loads(handshake[1]) == {"validationResponse": "c0de"}
    assert notified[0] == 202
    eventually(lambda: cloud.notes("pushed") == ["pushed x/a b.csv 14 pushed content"], cloud)
    assert not any("Host.Functions.pushed" in name for name in cloud.receipts())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        deliver(host, "scanned", [event])
    blob.close()


def test_an_event_grid_trigger_gets_each_event_of_a_delivery(cloud: Cloud, host: FunctionsHost) -> None:
    def event(run: str) -> dict[str, Any]:
        return {
            "id": run,
            "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w",
            "subject": f"experiments/e/runs/{run}",
            "eventType": "Microsoft.MachineLearningServices.RunCompleted",
            "eventTime": "2026-11-21T12:00:00.9584103Z",
            "data": {"experimentId": "e", "experimentName": "gas", "runId": run, "runTags": {}},
            "dataVersion": "1.0",
        }

    taken = deliver(host, "noticed", [event("one"), event("two")], plane="EventGrid")

    assert taken[0] == 202
    kind = "noticed Microsoft.MachineLearningServices.RunCompleted"
    assert sorted(cloud.notes("noticed")) == [f"{kind} experiments/e/runs/{run} {run}" for run in ("one", "two")]
    with pytest.raises(urllib.error.HTTPError, match="500"):
        deliver(host, "noticed", [event("crash")], plane="eventgrid")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        deliver(host, "worked", [event("one")], plane="eventgrid")


def test_a_message_is_tried_five_times_and_then_lies_in_its_queues_poison_queue(
    cloud: Cloud, host: FunctionsHost
) -> None:
    queue = cloud.queues.get_queue_client(f"{cloud.prefix}work")
    if not cloud.notes("worked"):
        queue.create_queue()
    poison = cloud.queues.get_queue_client(f"{cloud.prefix}work-poison")

    queue.send_message(base64.b64encode(b"crash").decode())

    eventually(lambda: messages(poison) == ["crash"], cloud)
    assert cloud.notes("worked crash") == [f"worked crash {tried}" for tried in range(1, 6)]
    assert messages(queue) == []


def test_what_an_earlier_host_left_is_taken_over_and_what_cannot_finish_is_given_back(
    azurite: Azurite, tmp_path: Path
) -> None:
    cloud = Cloud(azurite, tmp_path)
    container = cloud.container("scanned")
    for name in ("done", "slow", "queued", "half"):
        container.upload_blob(f"gas/{name}.csv", b"slow" if name == "slow" else b"quick")
    cloud.write_receipt("gas/queued.csv", {})
    cloud.write_receipt("gas/half.csv", {"Incomplete": "Incomplete"})

    with cloud.host("--grace", "1.5") as first:
        eventually(lambda: len(cloud.notes("scanned")) == 3, cloud)
        eventually(lambda: cloud.log.read_text().count("Executed 'scanned' (Succeeded") == 2, cloud)
    assert first.child.exit_code == 0
    assert [json.loads(message)["BlobName"] for message in messages(cloud.internal_queue)] == ["gas/slow.csv"]

    cloud.go_on()
    with cloud.host() as second:
        eventually(lambda: len(cloud.notes("scanned gas/slow.csv")) == 2, cloud)
        eventually(lambda: messages(cloud.internal_queue) == [], cloud)

    assert second.child.exit_code == 0
    assert sorted(cloud.notes("scanned")) == [
        "scanned gas/done.csv quick",
        "scanned gas/half.csv quick",
        "scanned gas/slow.csv slow",
        "scanned gas/slow.csv slow",
    ]
    cloud.close()
