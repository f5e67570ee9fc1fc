"""`python -m local.azureml`: run the emulator until SIGTERM."""

from __future__ import annotations

import argparse
import fcntl
import logging
import ssl
from pathlib import Path
from typing import IO

from aiohttp import web

from .app import Emulator
from .config import DEFAULT_RESOURCE_GROUP, DEFAULT_SUBSCRIPTION, DEFAULT_WORKSPACE, Config


def main() -> None:
    """Parse the command line and serve on loopback, with TLS."""
    config = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("azure", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lock = _lock(config.state)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.certificate, config.key)
    web.run_app(
        Emulator(config).application(),
        host="127.0.0.1",
        port=config.port,
        ssl_context=context,
        access_log=None,
        print=None,
        shutdown_timeout=5.0,
    )
    lock.close()


def _lock(state: Path) -> IO[str]:
    """Keep the state to ourselves: a second emulator would end the first one's processes as left over."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"Another Azure ML emulator uses {state}. Stop it, or give this one another state.") from None
    return file


def _arguments() -> Config:
    parser = argparse.ArgumentParser(prog="python -m local.azureml", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="what outlives the process")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--blob-endpoint", required=True, help="blob service, account name included")
    parser.add_argument("--account-name", required=True)
    parser.add_argument("--account-key", required=True)
    parser.add_argument("--environments", type=Path, required=True, help="cache of virtual environments")
    parser.add_argument("--subscription", default=DEFAULT_SUBSCRIPTION)
    parser.add_argument("--resource-group", default=DEFAULT_RESOURCE_GROUP)
    parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)
    given = vars(parser.parse_args())
    for name in ("state", "environments"):
        given[name] = given[name].resolve()
    return Config(**given)


if __name__ == "__main__":
    main()
