"""`python -m local.functions --app . --port 7071`: serve an app folder until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from local.functions.configuration import choose_host_id
from local.functions.errors import ConfigurationError, HostError
from local.functions.host import Host, HostOptions, load_app

# Loggers whose INFO is about every request they send; the app's own loggers pass through.
_NOISY = ("azure", "httpcore", "httpx", "msal", "urllib3")


def main(arguments: list[str] | None = None) -> int:
    """Run the host; 0 after a signal, 1 when the app or its settings are wrong or the port is taken."""
    options = _parse(arguments)
    _configure_logging(options.log_level)
    app = options.app.resolve()
    try:
        host_id = choose_host_id(options.host_id, app, os.environ)
        chosen = HostOptions(app, options.port, host_id, options.scan_interval, options.grace, options.message_lease)
        if not app.is_dir():
            raise ConfigurationError(f"{app} is not a folder; --app must name the one with host.json")
        os.chdir(app)  # where the worker imports and runs an app
        config, functions = load_app(app, os.environ)

        async def serve() -> None:
            await Host(chosen, config, functions, os.environ).run()

        asyncio.run(serve())
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.functions", description=__doc__)
    parser.add_argument("--app", type=Path, default=Path(), help="folder with host.json and function_app.py")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--scan-interval", type=float, default=2.0, metavar="S", help="seconds between looks for blobs")
    parser.add_argument("--host-id", help="names receipts and the internal queue; by default made from the folder")
    parser.add_argument("--grace", type=float, default=20.0, metavar="S", help="seconds to finish in when stopped")
    parser.add_argument(
        "--message-lease", type=float, default=600.0, metavar="S", help="seconds a message is ours before it is renewed"
    )
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser.parse_args(arguments)


def _configure_logging(level: str) -> None:
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if level != "DEBUG":
        logging.getLogger("asyncio").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
