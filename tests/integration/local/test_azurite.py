"""Azurite as we start it: it answers the newest SDK, and what was stored outlives a stop."""

from __future__ import annotations

from pathlib import Path

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.azurite import Azurite
from local.processes import free_ports


def _azurite(folder: Path) -> Azurite:
    blob, queue, table = free_ports(3)
    return Azurite(folder / "data", blob_port=blob, queue_port=queue, table_port=table, log=folder / "azurite.log")


def test_a_stop_straight_after_a_write_loses_nothing(tmp_path: Path) -> None:
    with (
        _azurite(tmp_path) as before,
        BlobServiceClient.from_connection_string(before.connection_string) as blobs,
        QueueServiceClient.from_connection_string(before.connection_string) as queues,
    ):
        blobs.create_container("kept").upload_blob("a.txt", b"still here")
        queues.create_queue("jobs").send_message("do it")

    with (
        _azurite(tmp_path) as after,
        BlobServiceClient.from_connection_string(after.connection_string) as blobs,
        QueueServiceClient.from_connection_string(after.connection_string) as queues,
    ):
        assert blobs.get_blob_client("kept", "a.txt").download_blob().readall() == b"still here"
        assert [message.content for message in queues.get_queue_client("jobs").receive_messages()] == ["do it"]

    assert not before.child.running()
    assert not after.child.running()
