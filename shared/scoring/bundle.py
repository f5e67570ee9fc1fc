"""Scoring in process with the live model's bundle, for when no endpoint answers, or none is to be paid for.

It is the endpoint's own code (`aml.opening`) over the same bytes that the endpoint would be sent, so that the answers
are the same to the last bit. This is the one place of the app that knows more of `aml` than the contract; it imports it
when a bundle is opened and not before, for it brings scikit-learn along.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from shared.errors import EndpointUnavailableError, NotFoundError
from shared.naming import TRAINING
from shared.scoring.endpoint import Answer, EndpointClient, WireRefusedError, refusal
from shared.storage import BlobStore

_log = logging.getLogger(__name__)
_Decoded = TypeVar("_Decoded")

_STILL_ANSWERS = ("malformed_answer", "model_changed")
"""Codes of an endpoint that answers, if badly: a bundle would only hide what is wrong with it."""


_SUFFIX = ".joblib"
_OPEN = 2
"""Bundles of a dataset: the live model's and, while files are replayed, that of its challenger."""


def bundle_name(blobs: BlobStore, dataset: str, run: str) -> str:
    """The blob, in the container `training`, of the bundle that a training run left: `bundle.joblib`, or of a table
    `<algorithm>_<dataset>_v<n>.joblib`.

    Raises:
        NotFoundError: there is none.
    """
    folder = f"{dataset}/{run}/model/"
    for blob in blobs.list_blobs(TRAINING, folder):
        if blob.name.endswith(_SUFFIX) and "/" not in blob.name.removeprefix(folder):
            return blob.name
    raise NotFoundError("blob_not_found", f"There is no bundle in {TRAINING}/{folder}.", blob=f"{TRAINING}/{folder}")


class Service(Protocol):
    """`aml.serving.Service`, as far as it is used here."""

    def answer(self, content_type: str, body: bytes) -> Any:
        """An answer with `status`, `content_type` and `body`."""
        ...


class Bundles:
    """The models' bundles, the two used last of every dataset kept open; safe for use by several threads at once."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._opened: dict[str, dict[str, Service]] = {}

    def service(self, dataset: str, run: str, model: str, version: str) -> Service:
        """The model that the training run `run` left, answering under this name and version.

        Raises:
            EndpointUnavailableError: ``bundle_missing``, or ``bundle_unusable`` when it was trained with other library
                versions than the app has, or is no bundle. The file waits: somebody can mend that.
        """
        with self._lock:
            opened = self._opened.setdefault(dataset, {})
            opened[run] = opened.pop(run) if run in opened else self._open(dataset, run, model, version)
            while len(opened) > _OPEN:
                del opened[next(iter(opened))]
            return opened[run]

    def _open(self, dataset: str, run: str, model: str, version: str) -> Service:
        where = f"{TRAINING}/{dataset}/{run}/model"
        try:
            name = bundle_name(self._blobs, dataset, run)
            where = f"{TRAINING}/{name}"
            data, _ = self._blobs.get(TRAINING, name)
        except NotFoundError as error:
            raise EndpointUnavailableError(
                "bundle_missing", f"The live model's bundle {where} is not there.", blob=where
            ) from error
        try:
            opened = _opened(data, model, version)
        except ImportError as error:
            raise EndpointUnavailableError(
                "bundle_unusable", f"The app's environment cannot open a model's bundle: {error}.", blob=where
            ) from error
        _log.info("opened the bundle %s", where)
        return opened


def _opened(data: bytes, model: str, version: str) -> Service:
    from aml.bundle import FILE_NAME, BundleError, open_bundle
    from aml.opening import service_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE_NAME)
        path.write_bytes(data)
        try:
            bundle = open_bundle(path)
        except BundleError as error:
            raise EndpointUnavailableError("bundle_unusable", str(error)) from error
    return service_of(bundle, model, version)


class BundleClient:
    """Answers requests as the endpoint would; `open_service` is called with the first one."""

    def __init__(self, open_service: Callable[[], Service]) -> None:
        self._open_service = open_service

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], _Decoded]
    ) -> tuple[_Decoded, Answer]:
        """See `EndpointClient.post`; no deployment answers here, so that none is named."""
        said = self._open_service().answer(content_type, body)
        if said.status == 415:
            raise WireRefusedError("wire_refused", "The model does not take this content type.", status=said.status)
        if said.status != 200:
            words = said.body.decode("utf-8", errors="replace")
            raise refusal(said.body, words, status=said.status)
        answer = Answer(said.body, said.content_type, deployment=None, request_id=None, by_bundle=True)
        return decode(answer), answer

    def close(self) -> None:
        """Nothing is held: the bundle stays open for the next file."""


class FallbackClient:
    """Asks the endpoint until it does not answer any more, and from then on the bundle.

    The endpoint's patience is spent once per table, not once per request.
    """

    def __init__(self, endpoint: EndpointClient, bundle: BundleClient) -> None:
        self._endpoint = endpoint
        self._bundle = bundle
        self._down: EndpointUnavailableError | None = None

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], _Decoded]
    ) -> tuple[_Decoded, Answer]:
        """See `EndpointClient.post`. Where the bundle cannot be had either, its error says so after the endpoint's."""
        if self._down is None:
            try:
                return self._endpoint.post(body, content_type, deployment, decode)
            except EndpointUnavailableError as error:
                if error.code in _STILL_ANSWERS:
                    raise
                self._down = error
                _log.warning("the endpoint does not answer, its model's bundle does: %s", error, extra=error.where)
        try:
            return self._bundle.post(body, content_type, deployment, decode)
        except EndpointUnavailableError as error:
            message = f"{self._down.message} {error.message}"
            raise EndpointUnavailableError(error.code, message, **self._down.where) from error

    def close(self) -> None:
        """Gives the endpoint's connections back."""
        self._endpoint.close()
