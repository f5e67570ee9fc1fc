"""Entry of the endpoint: what the inference server loads, around `aml.serving` and
`aml.tabular.serving`.

The server puts this file's own folder on `sys.path`; `aml` is a package of the folder above, which is therefore added
before anything of it is imported.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from aml.allocation import keep_memory  # noqa: E402 - after sys.path is as it must be
from aml.bundle import find_bundle, open_bundle  # noqa: E402 - likewise
from aml.opening import AnyService, service_of  # noqa: E402 - likewise

_log = logging.getLogger("dropscore.score")
_in_service: list[AnyService] = []


def init() -> None:
    """Open the bundle below AZUREML_MODEL_DIR; a bundle that cannot be served fails the start of the deployment."""
    keep_memory()
    bundle = open_bundle(find_bundle(Path(os.environ["AZUREML_MODEL_DIR"])))
    name = os.environ.get("DROPSCORE_MODEL_NAME", "")
    version = os.environ.get("DROPSCORE_MODEL_VERSION", "")
    _in_service[:] = [service_of(bundle, name, version)]
    _log.info("serving %s version %s with %s", name, version, bundle.versions)


@rawhttp  # type: ignore[untyped-decorator] # the server's library has no type information
def run(request: AMLRequest) -> AMLResponse:
    """Answer one request; see `aml.serving.Service.answer`."""
    (service,) = _in_service
    answer = service.answer(request.mimetype, request.get_data())
    return AMLResponse(answer.body, answer.status, {"Content-Type": answer.content_type})
