"""Counts the requests to storage that scoring files takes, by the app in a process of its own without a host.

Runs in the app's environment: ``python -m benchmarks.calls INPUT…`` drops the files one after the other, scores each,
and prints one JSON object with the requests and the seconds of each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from azure.core.pipeline.transport import RequestsTransport

from shared.composition import build
from shared.settings import Settings


def main(sources: list[Path]) -> None:
    """Scores the files and prints the figures."""
    app, requests, seconds = build(Settings()), [], []
    with counted() as sent:
        for source in sources:
            name = f"gas/calls/{source.name}"
            app.blobs.put("incoming", name, source.read_bytes())
            info = app.blobs.info("incoming", name)
            sent.clear()
            run = app.files.run(app.files.receive(info)[0])
            if run.state != "completed":
                raise SystemExit(f"{name} ended {run.state}: {run.error}")
            requests.append(len(sent))
            seconds.append((run.history[-1].at - run.history[0].at).total_seconds())
    print(json.dumps({"requests": requests, "seconds": seconds}))


class counted:
    """The URLs of the requests that Azure's storage clients send while the context lasts."""

    def __enter__(self) -> list[str]:
        self._send = send = RequestsTransport.send
        sent: list[str] = []

        def count(transport: RequestsTransport, request: Any, **options: Any) -> Any:
            sent.append(str(request.url))
            return send(transport, request, **options)

        RequestsTransport.send = count  # where all of them pass
        return sent

    def __exit__(self, *_: object) -> None:
        RequestsTransport.send = self._send


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
