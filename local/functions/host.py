"""The host: puts the parts together, runs until it is told to stop, and leaves nothing half done behind."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.functions.blobs import BlobTriggers, blob_function
from local.functions.configuration import HostConfig, QueueOptions, load_host_config, load_local_settings
from local.functions.connections import Connections
from local.functions.event_grid import Answer, invoke_events, receive_events
from local.functions.http_server import HttpServer
from local.functions.indexing import BLOB, EVENT_GRID, HTTP, QUEUE, TIMER, Binding, Function, index_app
from local.functions.invocation import InvocationAbandonedError, InvocationFailedError, Invoker, Trigger
from local.functions.queue_functions import QueueFunction
from local.functions.queues import Limits, QueueListener, encode_text, output_messages, send
from local.functions.timers import Timer

_log = logging.getLogger("host")
_LARGEST_BATCH = 32  # of messages that the queue service hands out at once
_GIVE_BACK_SECONDS = 5.0


def event_trigger(event: dict[str, Any]) -> Trigger:
    """What an invocation for one event of Event Grid gets."""
    return Trigger(Datum(json.dumps(event), "json"), about=f"event={event.get('id')}")


def _as_response(answer: Answer) -> web.Response:
    if answer.document is None:
        return web.Response(status=answer.status)
    return web.json_response(answer.document, status=answer.status)


@dataclass(frozen=True)
class HostOptions:
    """What the command line says; times in seconds."""

    app: Path
    port: int
    host_id: str
    scan_interval: float = 2.0
    grace: float = 20.0
    message_lease: float = 600.0


def load_app(app: Path, environment: MutableMapping[str, str]) -> tuple[HostConfig, tuple[Function, ...]]:
    """Read an app folder: host.json, local.settings.json (into `environment`), the functions.

    Raises:
        HostError: something is wrong with one of them.
    """
    config = load_host_config(app)
    load_local_settings(app, environment)
    return config, index_app(app, environment)


class Host:
    """One app being served."""

    def __init__(
        self,
        options: HostOptions,
        config: HostConfig,
        functions: tuple[Function, ...],
        environment: Mapping[str, str],
    ) -> None:
        self._options, self._config, self._functions = options, config, functions
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._connections = Connections(environment)
        threads = environment.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
        self._invoker = Invoker(
            options.app, self._write_output, threads=int(threads) if threads.isdecimal() and int(threads) > 0 else None
        )
        self._listeners: list[QueueListener] = []
        self._timers = {f.name: Timer(f, self._invoker, self._stopping) for f in self._of_type(TIMER)}
        self._queue_functions = {
            f.name: QueueFunction(f, self._invoker, base64_messages=config.queues.base64) for f in self._of_type(QUEUE)
        }
        self._blobs: BlobTriggers | None = None
        if blobs := self._of_type(BLOB):
            self._blobs = BlobTriggers(
                [blob_function(f) for f in blobs],
                self._connections,
                self._invoker,
                host_id=options.host_id,
                base64_messages=config.queues.base64,
                stopping=self._stopping,
            )
        self._http = HttpServer(functions, config.route_prefix, self._invoker, self)
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop in good order.

        Raises:
            PortInUseError: nothing was started.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        await self._http.start(self._options.port, grace=1.0)
        self._start_listening()
        self._running = True
        _log.info("Running %d functions on http://localhost:%d", len(self._functions), self._options.port)
        await self._stopping.wait()
        await self._stop()

    def status(self) -> Mapping[str, Any]:
        """The document of /admin/host/status."""
        state = "Stopping" if self._stopping.is_set() else "Running" if self._running else "Starting"
        return {"id": self._options.host_id, "state": state, "version": "4.0.0-local", "errors": []}

    def describe(self) -> list[Mapping[str, Any]]:
        """The document of /admin/functions."""
        return [{"name": f.name, "config": {"name": f.name, "bindings": list(f.raw_bindings)}} for f in self._functions]

    async def run_by_hand(self, name: str, text: str) -> web.Response:
        """Start a function as its trigger would; `text` is the message of a queue or the path of a blob."""
        function = next((f for f in self._functions if f.name.lower() == name.lower()), None)
        if function is None:
            return web.Response(status=404)
        kind = function.trigger["type"]
        if kind == HTTP:
            return web.json_response({"error": f"{function.name} is an HTTP function: call its route"}, status=400)
        if kind == TIMER:
            self._spawn(self._timers[function.name].fire(), f"run {function.name}")
            return web.Response(status=202)
        try:
            trigger = await self._trigger_by_hand(function, text)
        except (ResourceNotFoundError, ValueError) as error:
            return web.json_response({"error": f"input {text!r}: {str(error).splitlines()[0]}"}, status=400)
        self._spawn(self._invoke_quietly(function, trigger), f"run {function.name}")
        return web.Response(status=202)

    async def receive_events(self, function_id: str, kind: str | None, body: bytes) -> web.Response:
        """Take a delivery of Event Grid for a function whose blob trigger has the source Event Grid."""
        blob = self._blobs.find(function_id) if self._blobs else None
        if self._blobs is None or blob is None or blob.scanned:
            return web.json_response({"error": f"no function {function_id!r} is fed by Event Grid"}, status=404)
        return _as_response(await receive_events(blob, kind, body, self._blobs.enqueue))

    async def invoke_events(self, name: str, kind: str | None, body: bytes) -> web.Response:
        """Take a delivery of Event Grid for a function that has an Event Grid trigger."""
        function = next((f for f in self._of_type(EVENT_GRID) if f.name.lower() == name.lower()), None)
        if function is None:
            return web.json_response({"error": f"no function {name!r} has an Event Grid trigger"}, status=404)

        async def invoke(event: dict[str, Any]) -> bool:
            return await self._invoke_quietly(function, event_trigger(event))

        return _as_response(await invoke_events(kind, body, invoke))

    def _of_type(self, kind: str) -> list[Function]:
        return [function for function in self._functions if function.trigger["type"] == kind]

    def _start_listening(self) -> None:
        queues = self._config.queues
        for name, queue_function in self._queue_functions.items():
            trigger = queue_function.function.trigger
            queue = self._connections.queue(trigger.get("connection"), trigger["queueName"])
            poison = self._connections.queue(trigger.get("connection"), f"{trigger['queueName']}-poison")
            limits = self._queue_limits(queues)
            self._listen(QueueListener(queue, _always(poison), queue_function.handle, limits, self._stopping), name)
        if self._blobs is not None:
            listener = QueueListener(
                self._blobs.queue, self._blobs.poison, self._blobs.handle, self._blob_limits(), self._stopping
            )
            self._listen(listener, "blobs")
            self._blobs.on_enqueue = listener.wake
            self._spawn(self._blobs.scan(self._options.scan_interval), "scan")
        for name, timer in self._timers.items():
            self._spawn(timer.run(), f"timer {name}")

    def _listen(self, listener: QueueListener, name: str) -> None:
        self._listeners.append(listener)
        self._spawn(listener.run(), f"queue of {name}")

    def _queue_limits(self, queues: QueueOptions) -> Limits:
        return Limits(
            batch=queues.batch_size,
            refill=queues.new_batch_threshold,
            max_tries=queues.max_dequeue_count,
            retry_after=queues.visibility_timeout,
            longest_poll=queues.max_polling_interval,
            lease=self._options.message_lease,
        )

    def _blob_limits(self) -> Limits:
        # As the extension divides maxDegreeOfParallelism: at most that many messages are being dealt with.
        degree = self._config.blobs.max_degree_of_parallelism
        batch = min(_LARGEST_BATCH, degree // 2 + 1)
        return Limits(
            batch=batch,
            refill=degree - batch,
            max_tries=self._config.blobs.poison_threshold,
            retry_after=0.0,
            longest_poll=self._config.queues.max_polling_interval,
            lease=self._options.message_lease,
        )

    async def _write_output(self, binding: Binding, data: Datum) -> None:
        queue: QueueClient = self._connections.queue(binding.get("connection"), binding["queueName"])
        for message in output_messages(data):
            await send(queue, encode_text(message, base64_encoded=self._config.queues.base64))

    async def _trigger_by_hand(self, function: Function, text: str) -> Trigger:
        if function.trigger["type"] == EVENT_GRID:
            return event_trigger(json.loads(text))
        if function.trigger["type"] == QUEUE:
            message = QueueMessage(content=text, id="by-hand", dequeue_count=1, pop_receipt="")
            return self._queue_functions[function.name].trigger(message, text)
        blob = self._blobs.find(function.id) if self._blobs else None
        container, _, name = text.partition("/")
        if self._blobs is None or blob is None or not container or not name:
            raise ValueError("expected container/blob")
        return await self._blobs.trigger(blob, container, name)

    async def _invoke_quietly(self, function: Function, trigger: Trigger) -> bool:
        """Whether it succeeded; what it raised has been logged."""
        try:
            await self._invoker.invoke(function, trigger)
        except (InvocationFailedError, InvocationAbandonedError) as error:
            _log.debug("%s did not succeed: %s", function.name, error)
            return False
        return True

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s ended by an error that is a defect of this host", task.get_name(), exc_info=error)

    def _told_to_stop(self) -> None:
        if self._stopping.is_set():
            self._hurry.set()
            return
        running = self._invoker.running
        if running:
            _log.info("Stopping; %d invocations have %.0f s to finish", running, self._options.grace)
        self._stopping.set()

    async def _stop(self) -> None:
        await self._http.stop_listening()
        for listener in self._listeners:
            listener.wake()
        self._invoker.stop()
        everything = asyncio.create_task(self._drain())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({everything, hurry}, timeout=self._options.grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        finished = everything.done()
        if not finished:
            await self._give_up()
        await self._http.close()
        await self._connections.close()
        _log.info("Stopped")
        if not finished:
            # A thread in the middle of a function cannot be ended, and Python would wait for it.
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)

    async def _drain(self) -> None:
        await asyncio.gather(self._invoker.wait_idle(), *(listener.drained() for listener in self._listeners))

    async def _give_up(self) -> None:
        _log.warning("%d invocations did not finish in time", self._invoker.running)
        try:
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await asyncio.gather(*(listener.give_back() for listener in self._listeners))
        except (TimeoutError, AzureError) as error:
            _log.warning("not every message was given back: %r", error)


def _always(poison: QueueClient) -> Callable[[QueueMessage], QueueClient]:
    return lambda message: poison
