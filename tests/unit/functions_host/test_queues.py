"""Message texts, leases and waiting for storage, over fakes of the queue client's calls."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient
from hypothesis import given
from hypothesis import strategies as st

from local.functions.outages import HostStoppingError, Outage
from local.functions.queues import Lease, decode_text, encode_text, output_messages


def refusal(status: int) -> HttpResponseError:
    error = ResourceNotFoundError("gone") if status == 404 else HttpResponseError("busy")
    error.status_code = status
    return error


class RecordingQueue:
    """Hands out a new pop receipt with each update, and takes only the newest, as the service does."""

    def __init__(self, *, renewals: int) -> None:
        self.calls: list[tuple[str, str]] = []
        self.renewed = asyncio.Event()
        self._renewals = renewals
        self._receipt = "0"

    async def update_message(self, message: QueueMessage, *, visibility_timeout: int) -> QueueMessage:
        self._take("update", message)
        self._receipt = str(int(self._receipt) + 1)
        if len(self.calls) >= self._renewals:
            self.renewed.set()
        return QueueMessage(content=message.content, pop_receipt=self._receipt)

    async def delete_message(self, message: QueueMessage) -> None:
        self._take("delete", message)

    def _take(self, call: str, message: QueueMessage) -> None:
        if message.pop_receipt != self._receipt:
            raise refusal(404)
        self.calls.append((call, str(message.pop_receipt)))


def lease_over(queue: RecordingQueue) -> Lease:
    message = QueueMessage(content="x", id="m", pop_receipt="0")
    return Lease(cast(QueueClient, queue), message, 0.01)


def test_a_lease_is_renewed_until_the_message_is_deleted_with_the_newest_receipt() -> None:
    async def scenario() -> list[tuple[str, str]]:
        queue = RecordingQueue(renewals=3)
        lease = lease_over(queue)
        keeper = asyncio.create_task(lease.keep(Outage("test", asyncio.Event())))
        await asyncio.wait_for(queue.renewed.wait(), 5)
        await lease.delete()
        await lease.release(0)  # settled already: nothing happens
        await asyncio.wait_for(keeper, 5)
        return queue.calls

    calls = asyncio.run(scenario())

    assert [call for call, _ in calls[:3]] == ["update"] * 3
    assert calls[-1] == ("delete", str(len(calls) - 1))


def test_a_message_that_somebody_else_has_is_left_alone() -> None:
    async def scenario() -> list[tuple[str, str]]:
        queue = RecordingQueue(renewals=1)
        lease = lease_over(queue)
        lease.message.pop_receipt = "old"
        await lease.release(0)
        await lease.delete()
        return queue.calls

    assert asyncio.run(scenario()) == []


class Flaky:
    """Fails so many times before it answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.tries = 0
        self._failures, self._error = failures, error

    async def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self._failures:
            raise self._error
        return "answer"


@pytest.mark.parametrize(
    "error", [ServiceRequestError("refused"), refusal(503), refusal(429)], ids=["down", "503", "429"]
)
def test_storage_that_does_not_answer_is_waited_for_and_said_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> str:
        return await Outage("test", asyncio.Event(), first_pause=0.001).patiently(Flaky(3, error))

    assert asyncio.run(scenario()) == "answer"
    assert [record.levelname for record in caplog.records if record.name == "host"] == ["WARNING"]


def test_nobody_waits_for_storage_when_the_host_stops_and_a_missing_thing_is_no_outage() -> None:
    async def scenario(operation: Any) -> None:
        stopping = asyncio.Event()
        stopping.set()
        await Outage("test", stopping).patiently(operation)

    with pytest.raises(HostStoppingError):
        asyncio.run(scenario(Flaky(1, ServiceRequestError("refused"))))
    with pytest.raises(ResourceNotFoundError):
        asyncio.run(scenario(Flaky(1, refusal(404))))


@given(text=st.text(st.characters(blacklist_categories=["Cs"])), base64_encoded=st.booleans())
def test_a_message_text_survives_the_queue(text: str, base64_encoded: bool) -> None:
    assert decode_text(encode_text(text, base64_encoded=base64_encoded), base64_encoded=base64_encoded) == text


def test_a_message_that_is_not_base64_is_refused_with_the_option_to_look_at() -> None:
    with pytest.raises(ValueError, match="messageEncoding"):
        decode_text("plain text!", base64_encoded=True)


def test_a_list_is_several_messages() -> None:
    assert output_messages(Datum("one", "string")) == ["one"]
    assert output_messages(Datum('["one", {"two": 2}]', "json")) == ["one", '{"two": 2}']
