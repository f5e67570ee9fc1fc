"""The doors of dropscore: every trigger decodes its event, calls one use case and answers.

Blob triggers get a `BlobClient`, never the bytes. None of these functions has a binding with an expression in braces
beside such a trigger: the host would then hand over bytes (Azure/azure-functions-host, deferred binding).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from copy import copy
from functools import cache

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

from shared import api, composition
from shared.errors import DropscoreError, NotFoundError
from shared.memory import be_economical
from shared.retraining.events import WorkspaceEvent
from shared.settings import Settings
from shared.storage import BlobInfo
from shared.work import BLOB_POISON_QUEUE, WORK_POISON_QUEUE, WORK_QUEUE

STORAGE = "AzureWebJobsStorage"
# Read here, because the host indexes the functions before anything runs; the defaults are those of `Settings`.
SOURCE = func.BlobSource(os.environ.get("BLOB_TRIGGER_SOURCE") or "EventGrid")
SCHEDULE = os.environ.get("RECONCILE_SCHEDULE") or "0 * * * * *"

be_economical()

_log = logging.getLogger("dropscore")
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@cache
def dropscore() -> composition.App:
    """The app behind the doors, built at the first event and kept."""
    return composition.build(Settings())


@app.blob_trigger(arg_name="client", path="datasets/{name}", connection=STORAGE, source=SOURCE)
def dataset_dropped(client: blob.BlobClient) -> None:
    """A dataset was dropped: its run is created and taken as far as the submitted job."""
    version = _version(client)
    if version is not None:
        held, _ = dropscore().retraining.receive(version)
        dropscore().retraining.advance(held)


@app.blob_trigger(arg_name="client", path="incoming/{name}", connection=STORAGE, source=SOURCE)
def file_dropped(client: blob.BlobClient) -> None:
    """A file was dropped: it is scored, or waits for a model."""
    version = _version(client)
    if version is not None:
        held, _ = dropscore().files.receive(version)
        dropscore().files.run(held)


@app.timer_trigger(arg_name="timer", schedule=SCHEDULE, run_on_startup=True)
def reconcile(timer: func.TimerRequest) -> None:
    """Everything that is open is looked at again: jobs, deployments, files that wait."""
    dropscore().reconcile()


@app.event_grid_trigger(arg_name="event")
def workspace_changed(event: func.EventGridEvent) -> None:
    """Something happened in the Azure ML workspace: the runs that it may concern are looked at now."""
    kind = getattr(event, "event_type", None) or getattr(event, "type", "")  # a cloud event calls it so
    dropscore().notice(WorkspaceEvent.read(kind, event.subject, event.get_json()))


@app.queue_trigger(arg_name="message", queue_name=WORK_QUEUE, connection=STORAGE)
def work(message: func.QueueMessage) -> None:
    """A run that was asked for by HTTP, or a file that waited."""
    dropscore().do(message.get_body().decode())


@app.queue_trigger(arg_name="message", queue_name=BLOB_POISON_QUEUE, connection=STORAGE)
def crashed_blob(message: func.QueueMessage) -> None:
    """A dropped file on which the app crashed five times: its run says so."""
    dropscore().desk.bury(message.get_body().decode(errors="replace"))


@app.queue_trigger(arg_name="message", queue_name=WORK_POISON_QUEUE, connection=STORAGE)
def crashed_work(message: func.QueueMessage) -> None:
    """A run on which the app crashed five times: it says so."""
    dropscore().desk.bury(message.get_body().decode(errors="replace"))


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """Version and dependencies."""
    return _answer(lambda: api.health(dropscore()))


@app.route("openapi.json", methods=["GET"])
def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """This description."""
    return _answer(lambda: api.openapi(_routes()))


@app.route("docs", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def docs(req: func.HttpRequest) -> func.HttpResponse:
    """The description as a page to read and to try things out."""
    return _answer(api.docs)


@app.route("docs/{file}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def docs_file(req: func.HttpRequest) -> func.HttpResponse:
    """A file that the page loads."""
    return _answer(lambda: api.docs_file(req.route_params["file"]))


@app.route("datasets", methods=["GET"])
def datasets(req: func.HttpRequest) -> func.HttpResponse:
    """The declared datasets."""
    return _answer(lambda: api.datasets(dropscore()))


@app.route("datasets/{dataset}", methods=["GET"])
def dataset(req: func.HttpRequest) -> func.HttpResponse:
    """One dataset and its contract."""
    return _answer(lambda: api.dataset(dropscore(), req.route_params["dataset"]))


@app.route("datasets/{dataset}/train", methods=["POST"])
def train(req: func.HttpRequest) -> func.HttpResponse:
    """Manual retraining."""
    return _answer(lambda: api.train(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("datasets/{dataset}/score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    """Scores a table at once, or a blob by a run."""
    return _answer(lambda: api.score(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("datasets/{dataset}/predict", methods=["POST"])
def predict(req: func.HttpRequest) -> func.HttpResponse:
    """Classifies one row."""
    return _answer(lambda: api.predict(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("datasets/{dataset}/predict/batch", methods=["POST"])
def predict_batch(req: func.HttpRequest) -> func.HttpResponse:
    """Classifies some rows."""
    return _answer(lambda: api.predict_batch(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("datasets/{dataset}/validate", methods=["POST"])
def validate(req: func.HttpRequest) -> func.HttpResponse:
    """Says what is wrong with rows, and scores none."""
    return _answer(lambda: api.validate(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("datasets/{dataset}/model", methods=["GET"])
def model(req: func.HttpRequest) -> func.HttpResponse:
    """What the model takes and answers, and how good it is."""
    return _answer(lambda: api.model(dropscore(), req.route_params["dataset"]))


@app.route("runs", methods=["GET"])
def runs(req: func.HttpRequest) -> func.HttpResponse:
    """Run records, newest first."""
    return _answer(lambda: api.runs(dropscore(), _request(req)))


@app.route("runs/{id}", methods=["GET"])
def run(req: func.HttpRequest) -> func.HttpResponse:
    """One run record."""
    return _answer(lambda: api.run(dropscore(), req.route_params["id"]))


@app.route("lineage/{dataset}", methods=["GET"])
def lineage(req: func.HttpRequest) -> func.HttpResponse:
    """Where a score comes from, and what came of a dataset."""
    return _answer(lambda: api.lineage(dropscore(), req.route_params["dataset"], _request(req)))


@app.route("models/{dataset}", methods=["GET"])
def models(req: func.HttpRequest) -> func.HttpResponse:
    """Model versions, their metrics, and which is live."""
    return _answer(lambda: api.models(dropscore(), req.route_params["dataset"]))


@app.route("models/{dataset}/{version}/activate", methods=["POST"])
def activate(req: func.HttpRequest) -> func.HttpResponse:
    """A version selected, or rolled back to, by a person."""
    return _answer(lambda: api.activate(dropscore(), req.route_params["dataset"], req.route_params["version"]))


def _version(client: blob.BlobClient) -> BlobInfo | None:
    """The version of the blob that is there now (events carry none, and a scan's may be old); None when it is gone."""
    try:
        return dropscore().blobs.info(client.container_name, client.blob_name)
    except NotFoundError:
        _log.info("%s/%s was removed before it was looked at", client.container_name, client.blob_name)
        return None


def _routes() -> list[api.Route]:
    """The HTTP routes as the host has them; of a copy, because an app hands its functions out once."""
    registered = copy(app)
    registered.functions_bindings = None
    return [
        api.Route(
            method=method.value,
            path=trigger["route"],
            function=str(function.get_function_name()),
            summary=str(function.get_user_function().__doc__).partition("\n")[0],
            anonymous=trigger["authLevel"] == func.AuthLevel.ANONYMOUS,
        )
        for function in registered.get_functions()
        if function.is_http_function()
        for trigger in function.get_dict_repr()["bindings"]
        if trigger["type"] == "httpTrigger"
        for method in trigger["methods"]
    ]


def _request(req: func.HttpRequest) -> api.Request:
    headers = {name.lower(): value for name, value in req.headers.items()}
    return api.Request(headers, dict(req.params), req.get_body())


def _answer(use_case: Callable[[], api.Reply]) -> func.HttpResponse:
    try:
        reply = use_case()
    except DropscoreError as error:
        _log.info("answered with %s", error, extra=error.where)
        reply = api.problem(error)
    return func.HttpResponse(
        reply.body,
        status_code=reply.status,
        mimetype=None,
        headers={**reply.headers, "Content-Type": reply.content_type},
    )
