"""Invocations: from a trigger's data to the function's arguments, its thread, its outputs and two lines in the log."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum
from azurefunctions.extensions.base import get_binding_registry as get_sdk_type_registry

from local.functions.annotations import OUT, RETURN, Parameter, converter_of
from local.functions.indexing import Binding, Function

_log = logging.getLogger("host")
_thread_local = threading.local()
_MACHINERY = (__file__, concurrent.futures.thread.__file__)

WriteOutput = Callable[[Binding, Datum], Awaitable[None]]
"""Carries out one output binding."""


@dataclass(frozen=True)
class Trigger:
    """What starts an invocation: the trigger parameter's data, its metadata, and words for the log."""

    data: Datum
    metadata: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


class InvocationFailedError(Exception):
    """The function raised, or its result fits its bindings no better than in the real worker; it has been logged."""


class InvocationAbandonedError(Exception):
    """The host stops, and this invocation never started."""


class Out(func.Out[Any]):
    """The box of an output parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Put the output's value; the last one counts."""
        self._value = val

    def get(self) -> Any:
        """The value so far."""
        return self._value


class Context(func.Context):
    """What a function may ask for by a parameter named `context`."""

    def __init__(self, function: str, directory: Path, invocation: str) -> None:
        self._function, self._directory, self._invocation = function, str(directory), invocation

    @property
    def invocation_id(self) -> str:
        """Id of this invocation, as in the log."""
        return self._invocation

    @property
    def thread_local_storage(self) -> Any:
        """Carries `invocation_id` to threads that the function starts."""
        return _thread_local

    @property
    def function_name(self) -> str:
        """Name of the function."""
        return self._function

    @property
    def function_directory(self) -> str:
        """The app folder."""
        return self._directory

    @property
    def trace_context(self) -> Any:
        """Empty: nothing traces across services here."""
        return SimpleNamespace(trace_parent="", trace_state="", attributes={})

    @property
    def retry_context(self) -> Any:
        """No retry policies here: this is always the first try."""
        return SimpleNamespace(retry_count=0, max_retry_count=0, exception=None)


class Invoker:
    """Runs functions: synchronous ones in a bounded pool of threads as the worker does, `async` ones on the loop."""

    def __init__(self, app: Path, write_output: WriteOutput, *, threads: int | None = None) -> None:
        self._app = app
        self._write_output = write_output
        count = threads or min(32, (os.cpu_count() or 1) + 4)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="function")
        self._stopping = False
        self._running: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Invocations under way."""
        return len(self._running)

    async def invoke(self, function: Function, trigger: Trigger) -> Datum | None:
        """Run a function once and carry out its outputs; the answer is what it returned, encoded.

        Raises:
            InvocationFailedError: it raised or returned something that cannot be encoded, or an output failed.
            InvocationAbandonedError: the host was stopped before it began.
        """
        if self._stopping:
            raise InvocationAbandonedError
        invocation = str(uuid.uuid4())
        about = f"{trigger.about}, id={invocation}" if trigger.about else f"id={invocation}"
        _log.info("Executing '%s' (%s)", function.name, about)
        started = time.monotonic()
        self._running.add(invocation)
        self._idle.clear()
        try:
            returned = await self._call(function, trigger, invocation)
        except InvocationAbandonedError:
            _log.info("Put back '%s' (%s): the host stops", function.name, about)
            raise
        except (Exception, SystemExit) as error:  # the boundary to the app's code: logged here, decided by the caller
            _log.error(
                "Executed '%s' (Failed, %s, %.0f ms): %s: %s",
                *(function.name, about, _milliseconds(started), type(error).__name__, error),
                exc_info=(type(error), error, _app_traceback(error)),
            )
            raise InvocationFailedError(f"{type(error).__name__}: {error}") from error
        finally:
            self._running.discard(invocation)
            if not self._running:
                self._idle.set()
        _log.info("Executed '%s' (Succeeded, %s, %.0f ms)", function.name, about, _milliseconds(started))
        return returned

    def stop(self) -> None:
        """Start nothing any more: what waits for a thread is abandoned, what runs goes on."""
        self._stopping = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def wait_idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    async def _call(self, function: Function, trigger: Trigger, invocation: str) -> Datum | None:
        outputs = {name: Out() for name, p in function.signature.parameters.items() if p.direction == OUT}

        def arguments() -> dict[str, Any]:
            _thread_local.invocation_id = invocation
            values = _inputs(function, trigger) | outputs
            if function.signature.wants_context:
                values["context"] = Context(function.name, self._app, invocation)
            return values

        if function.signature.is_async:
            result = await function.call(**arguments())
        else:
            result = await self._in_thread(lambda: function.call(**arguments()))
        returned = _encode_result(function, result)
        for name, box in outputs.items():
            if box.get() is not None:
                encoded = _encode(function.signature.parameters[name].binding, box.get())
                await self._write_output(function.output(name), encoded)
        if returned is not None and function.signature.returns != "http":
            await self._write_output(function.output(RETURN), returned)
        return returned

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        work = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await work
        except asyncio.CancelledError:
            if self._stopping and work.cancelled():
                raise InvocationAbandonedError from None
            raise


def _inputs(function: Function, trigger: Trigger) -> dict[str, Any]:
    metadata = {
        key: Datum(value, "string") if isinstance(value, str) else Datum(json.dumps(value), "json")
        for key, value in trigger.metadata.items()
    }
    name = function.trigger["name"]
    return {name: _decode(function.signature.parameters[name], trigger.data, metadata)}


def _decode(parameter: Parameter, data: Datum, metadata: Mapping[str, Datum]) -> Any:
    if parameter.deferred:
        converter = get_sdk_type_registry().get(parameter.binding)
        return converter.decode(data, trigger_metadata=metadata, pytype=parameter.pytype)
    if parameter.pytype is bytes:
        return data.value.encode() if isinstance(data.value, str) else bytes(data.value)
    if parameter.pytype is str:
        return data.value.decode() if isinstance(data.value, bytes) else str(data.value)
    return converter_of(parameter.binding).decode(data, trigger_metadata=metadata)


def _encode_result(function: Function, result: Any) -> Datum | None:
    if function.signature.returns is None:
        if result is not None:
            raise RuntimeError(f"a function without a $return binding returned a {type(result).__name__}")
        return None
    return _encode(function.signature.returns, result)


def _encode(binding: str, value: Any) -> Datum:
    if binding == "queue" and isinstance(value, dict):
        return Datum(json.dumps(value), "json")
    try:
        encoded: Datum = converter_of(binding).encode(value, expected_type=None)
    except NotImplementedError:
        raise TypeError(f"a {type(value).__name__} cannot be the value of a {binding} output") from None
    return encoded


def _milliseconds(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _app_traceback(error: BaseException) -> TracebackType | None:
    """The traceback without what lies between this module and the app's function."""
    first = found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename in _MACHINERY:
        found = found.tb_next
    return found or first
