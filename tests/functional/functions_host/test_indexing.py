"""Indexing sample apps: what the worker refuses, what it does not look at, and what comes out of a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.functions.errors import IndexingError
from local.functions.indexing import index_app

WriteApp = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("fresh_import")

SETTINGS = {"AzureWebJobsStorage": "…", "SOURCE": "EventGrid", "EVERY": "0 * * * * *"}

GOOD = """
import typing

@app.route(route="health", methods=["GET"], auth_level="anonymous")
def health(req: func.HttpRequest, context: func.Context) -> func.HttpResponse: ...

@app.blob_trigger(arg_name="client", path="incoming/{name}", connection="AzureWebJobsStorage", source="%SOURCE%")
@app.queue_output(arg_name="out", queue_name="done", connection="AzureWebJobsStorage")
async def score(client: blob.BlobClient, out: func.Out[typing.List[str]]) -> None: ...

@app.timer_trigger(arg_name="timer", schedule="%EVERY%")
def reconcile(timer: func.TimerRequest) -> None: ...

@app.function_name("poisoned")
@app.queue_trigger(arg_name="message", queue_name="done-poison", connection="AzureWebJobsStorage")
def any_name(message: str): ...

@app.event_grid_trigger(arg_name="event")
def noticed(event: func.EventGridEvent) -> None: ...
"""


def test_a_good_app_is_indexed_with_its_bindings_and_settings(write_app: WriteApp) -> None:
    health, score, reconcile, _, noticed = found = index_app(write_app(GOOD), SETTINGS)

    assert [f.name for f in found] == ["health", "score", "reconcile", "poisoned", "noticed"]
    assert noticed.trigger["type"] == "eventGridTrigger"
    assert health.signature.returns == "http"
    assert health.signature.wants_context
    assert score.signature.is_async
    assert score.signature.parameters["client"].deferred
    assert score.trigger["source"] == "EventGrid"
    assert [b["source"] for b in score.raw_bindings if "source" in b] == ["%SOURCE%"]
    assert [b["properties"] for b in score.raw_bindings if b["name"] == "client"] == [{"SupportsDeferredBinding": True}]
    assert reconcile.trigger["schedule"] == "0 * * * * *"


TIMER = '@app.timer_trigger(arg_name="t", schedule="0 * * * * *")\n'
BLOB = '@app.blob_trigger(arg_name="b", path="in/{name}", connection="AzureWebJobsStorage")\n'
QUEUE_OUT = '@app.queue_output(arg_name="o", queue_name="out", connection="AzureWebJobsStorage")\n'
WRONG = {
    "import error": ("import no_such_module", "No module named 'no_such_module'"),
    "raises at import": ("raise RuntimeError('first line')", "RuntimeError: first line"),
    "no function": ("", "declares no function"),
    "two apps": ("other = func.FunctionApp()", "one function app at its top level; 2"),
    "no trigger": (QUEUE_OUT + "def f(o: func.Out[str]): ...", "does not have a trigger"),
    "two triggers": (TIMER + BLOB + "def f(t, b): ...", "already registered"),
    "duplicate name": (TIMER + "def f(t): ...\n" + TIMER + "def f(t): ...", "unique"),
    "unknown binding": (
        '@app.service_bus_queue_trigger(arg_name="m", connection="C", queue_name="q")\ndef f(m): ...',
        "serviceBusTrigger; this host has",
    ),
    "wrong event": (
        '@app.event_grid_trigger(arg_name="e")\ndef f(e: func.QueueMessage): ...',
        "QueueMessage does not fit a eventGridTrigger",
    ),
    "parameter too many": (TIMER + "def f(t, u): ...", "parameters without a binding: u"),
    "binding too many": (TIMER + "def f(): ...", "bindings without a parameter: t"),
    "wrong annotation": (TIMER + "def f(t: func.QueueMessage): ...", "QueueMessage does not fit a timerTrigger"),
    "bare SDK client": (
        "from azure.storage.blob import BlobClient\n" + BLOB + "def f(b: BlobClient): ...",
        "BlobClient does not fit a blobTrigger",
    ),
    "optional": ("import typing\n" + BLOB + "def f(b: typing.Optional[func.InputStream]): ...", "is not a type"),
    "unresolved annotation": (TIMER + "def f(t: 'Nowhere'): ...", "cannot be resolved"),
    "output without Out": (TIMER + QUEUE_OUT + "def f(t, o: str): ...", "needs func.Out"),
    # azure-functions knows typing.List there, and not list
    "Out of a bare list": (TIMER + QUEUE_OUT + "def f(t, o: func.Out[list[str]]): ...", "does not fit a queue"),
    "Out of nothing": (TIMER + QUEUE_OUT + "def f(t, o: func.Out): ...", "with one type"),
    "input with Out": (TIMER + "def f(t: func.Out[str]): ...", "needs no func.Out"),
    "wrong context": (TIMER + "def f(t, context: str): ...", "func.Context"),
    "wrong return": ('@app.route("a")\ndef f(req: func.HttpRequest) -> dict: ...', "return annotation dict"),
    "bad cron": (TIMER.replace("0 * * * * *", "every minute") + "def f(t): ...", "2 fields"),
    "setting not set": (TIMER.replace("0 * * * * *", "%MISSING%") + "def f(t): ...", "setting MISSING"),
    "connection not set": (BLOB.replace("AzureWebJobsStorage", "Elsewhere") + "def f(b): ...", "connection Elsewhere"),
    "queue name": (QUEUE_OUT.replace('"out"', '"Out!"') + TIMER + "def f(t, o: func.Out[str]): ...", "queue's name"),
    "route": ('@app.route("a/{b")\ndef f(req: func.HttpRequest) -> str: ...', "is not a parameter"),
    "expression beside SDK type": (
        BLOB + QUEUE_OUT.replace('"out"', '"{name}"') + "def f(b: blob.BlobClient, o: func.Out[str]): ...",
        "turns SDK-type parameters off",
    ),
}


@pytest.mark.parametrize(("body", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_app_is_refused_in_words(write_app: WriteApp, body: str, says: str) -> None:
    # decorators fail while the module is imported, everything else when its functions are read
    with pytest.raises(IndexingError) as refused:
        index_app(write_app("\n" + body), SETTINGS)

    assert says in str(refused.value)


def test_a_folder_without_function_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="does not exist"):
        index_app(tmp_path, SETTINGS)
