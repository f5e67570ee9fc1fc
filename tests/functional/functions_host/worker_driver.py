"""Drives Microsoft's worker library over an app folder, as the host would, and prints what it found as JSON.

`python worker_driver.py APP METHOD URL FUNCTION`: indexes the app, then sends one HTTP request to one of its functions.

The library takes no part in the wire: it builds its answers from the classes of a namespace that it is handed, and
reads attributes of the requests. Plain objects serve for both; only the messages with a oneof need to say which is set.
One app per process, for the library keeps its registry in module globals.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime


class Message:
    """A protobuf message: built by keywords, read by attributes; `WhichOneof` names what was given."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def WhichOneof(self, group: str) -> str | None:
        return next((name for name in self.__dict__ if name != "name"), None)


def message(name: str, **constants: Any) -> type[Message]:
    return type(name, (Message,), constants)


PLAIN = (
    *("FunctionLoadResponse", "FunctionMetadataResponse", "InvocationResponse", "ParameterBinding", "RpcException"),
    *("RpcFunctionMetadata", "RpcHttp", "RpcRetryOptions", "TypedData", "WorkerInitResponse", "WorkerMetadata"),
    *("NullableBool", "NullableDouble", "NullableString", "NullableTimestamp", "Timestamp"),
)
PROTOS = SimpleNamespace(
    **{name: message(name) for name in PLAIN},
    StatusResult=message("StatusResult", Failure=0, Success=1, Cancelled=2),
    BindingInfo=message("BindingInfo", **{"in": 0}, out=1, inout=2, undefined=0, string=1, binary=2, stream=3),
    RpcHttpCookie=message("RpcHttpCookie"),
)


def request(kind: str, **fields: Any) -> SimpleNamespace:
    """One request of the host."""
    return SimpleNamespace(
        request=SimpleNamespace(**{kind: SimpleNamespace(**fields)}),
        properties={"host": "127.0.0.1", "protos": PROTOS},
    )


def succeeded(response: Any) -> Any:
    """The response, or the end of this program with the worker's message."""
    if response.result.status != PROTOS.StatusResult.Success:
        sys.exit(f"worker: {response.result.exception.message}\n{response.result.exception.stack_trace}")
    return response


async def index(app: Path) -> dict[str, Any]:
    """Start the worker for an app; its functions by name."""
    runtime.start_threadpool_executor()
    succeeded(
        await runtime.worker_init_request(
            request("worker_init_request", capabilities={}, function_app_directory=str(app))
        )
    )
    metadata = succeeded(await runtime.functions_metadata_request(request("functions_metadata_request")))
    functions = {function.name: function for function in metadata.function_metadata_results or []}
    for function in functions.values():
        succeeded(
            await runtime.function_load_request(request("function_load_request", function_id=function.function_id))
        )
    return functions


async def call(function: Any, method: str, url: str) -> dict[str, Any]:
    """Invoke an HTTP function without a body."""
    http = PROTOS.RpcHttp(method=method, url=url, headers={}, params={}, query={}, body=PROTOS.TypedData(bytes=b""))
    trigger = next(json.loads(raw) for raw in function.raw_bindings if json.loads(raw)["type"] == "httpTrigger")
    parameter = PROTOS.ParameterBinding(name=trigger["name"], data=PROTOS.TypedData(http=http))
    response = succeeded(
        await runtime.invocation_request(
            request(
                "invocation_request",
                invocation_id=str(uuid.uuid4()),
                function_id=function.function_id,
                trigger_metadata={},
                input_data=[parameter],
                trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
                retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
            )
        )
    )
    answer = response.return_value.http
    return {"status": int(answer.status_code), "body": answer.body.bytes.decode()}


async def main(app: Path, method: str, url: str, function: str) -> None:
    functions = await index(app)
    found = [{"name": f.name, "bindings": [json.loads(raw) for raw in f.raw_bindings]} for f in functions.values()]
    answer = await call(functions[function], method, url)
    print(json.dumps({"functions": found, "answer": answer}))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    sys.path.insert(0, sys.argv[1])
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:5]))
