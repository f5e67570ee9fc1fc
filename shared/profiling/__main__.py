"""`python -m shared.profiling --dataset gas`: how much a scoring endpoint takes, and what to set because of it.

It sends requests as the app does, first of several sizes one at a time, then of the best size with 1, 2, 4, 8 … in
flight, and says which settings follow, with the arithmetic. It finds the endpoint as the app does, by the app's own
settings and identity, and tries nothing twice. It refuses to load what may take production traffic unless told `--yes`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa

from aml.contract import ContractError, DatasetContract, load_contract
from shared import composition
from shared.errors import DropscoreError, InvalidInputError
from shared.live import LiveModel
from shared.profiling import report
from shared.profiling.capacity import Goal, Level, advise, measured, rows_per_request
from shared.profiling.load import Bounds, ClosedLoop, climb
from shared.profiling.requests import body_of, rows_of_contract, rows_of_file, sender
from shared.profiling.target import Asked, choose
from shared.scoring.endpoint import EndpointClient, RowsRefusedError, WireRefusedError
from shared.scoring.targets import Target
from shared.settings import Settings

Wire = Literal["arrow", "json"]

_SIZES = (1, 100, 1_000, 5_000, 10_000, 20_000, 50_000)
_REQUESTS_OF_A_SIZE = 20
_ROWS_KEPT = 20_000


class Profile:
    """One endpoint under load; `rows` are repeated as often as requests need."""

    def __init__(self, client: EndpointClient, target: Target, contract: DatasetContract, rows: pa.Table) -> None:
        self._client = client
        self._target = target
        self._contract = contract
        self._rows = rows
        self.wire: Wire = "arrow"

    def find_wire(self, wanted: Literal["auto", "arrow", "json"]) -> None:
        """Arrow, unless the endpoint does not take it; raises what a first request meets."""
        self.wire = "json" if wanted == "json" else "arrow"
        try:
            self._loop(1, Bounds()).once_or_raise()
        except (WireRefusedError, RowsRefusedError):
            if wanted == "arrow":
                raise
            self.wire = "json"
            self._loop(1, Bounds()).once_or_raise()

    def bytes_of(self, rows: int) -> int:
        """How long a request of so many rows is."""
        return len(self._body(rows))

    def sizes(self, most_bytes: int, bounds: Bounds, said: Callable[[Level], None]) -> list[Level]:
        """Levels of one request in flight, of ever more rows, as far as the settings and the endpoint allow."""
        few = Bounds(requests=min(_REQUESTS_OF_A_SIZE, bounds.requests), seconds=min(5.0, bounds.seconds))
        levels: list[Level] = []
        for rows in _SIZES:
            if levels and self.bytes_of(rows) > most_bytes:
                break
            levels.append(measured(1, rows, self._loop(rows, few)(1)))
            said(levels[-1])
            if not levels[-1].bearable:
                break
        return levels

    def climb(self, rows: int, bounds: Bounds, said: Callable[[Level], None]) -> list[Level]:
        """Levels of growing load, of requests of this size."""
        return climb(self._loop(rows, bounds), rows, bounds, said=said)

    def _loop(self, rows: int, bounds: Bounds) -> ClosedLoop:
        send = sender(self._client, self._body(rows), rows, self._contract, self.wire, self._target.deployment)
        return ClosedLoop(send, bounds)

    def _body(self, rows: int) -> bytes:
        return body_of(self._rows, rows, self._contract, self.wire)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the endpoint cannot or may not be measured."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (DropscoreError, ContractError) as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    _load_settings(options.settings)
    settings, contract = Settings(), load_contract(options.dataset)
    target = choose(
        Asked(options.url, options.deployment, options.yes), _live(settings, options), settings.aml_endpoint_url
    )
    bounds = Bounds(options.requests, options.seconds, options.total_seconds, options.most_in_flight)
    rows = rows_of_file(options.file, contract, _ROWS_KEPT) if options.file else rows_of_contract(contract, _ROWS_KEPT)
    client = EndpointClient(
        target.url,
        partial(_authorization, settings, target.url, options.key_from, composition.Identity()),
        timeout=settings.score_request_timeout_seconds,
        patience=0,  # what fails is counted, not repeated
        connections=bounds.most_in_flight,
    )
    try:
        profile = Profile(client, target, contract, rows)
        return _measure(profile, target, settings, bounds, options)
    finally:
        client.close()


def _measure(profile: Profile, target: Target, settings: Settings, bounds: Bounds, options: argparse.Namespace) -> int:
    profile.find_wire(options.wire)
    pinned = f", deployment {target.deployment}" if target.deployment else ""
    print(f"{target.url}{pinned}; {profile.wire}; at most {bounds.total_seconds:g} s and some\n\n{report.HEADER}")
    said = lambda level: print(report.line(level), flush=True)  # noqa: E731 - one line, used twice
    sizes: list[Level] = []
    chosen = options.rows
    if chosen is None:
        sizes = profile.sizes(settings.score_bytes_per_request, bounds, said)
        chosen, fixed, slope = rows_per_request(sizes, most=max(each.rows_per_request for each in sizes))
        print(f"\n{chosen:,} rows a request: {fixed * 1000:.1f} ms + {slope * 1e6:.2f} µs a row\n\n{report.HEADER}")
    levels = profile.climb(chosen, bounds, said)
    p95 = None if options.p95_ms is None else options.p95_ms / 1000
    goal = Goal(options.rows_per_second, p95, options.instances, options.utilisation, options.files_at_once)
    advice = advise(levels, goal)
    print(report.recommendation(advice))
    if options.json:
        about = {"url": target.url, "deployment": target.deployment, "wire": profile.wire, "dataset": options.dataset}
        body = json.dumps(report.as_json(about, sizes, levels, advice), indent=1)
        options.json.write_text(body, encoding="utf-8")
    return 0 if advice else 1


def _load_settings(path: Path | None) -> None:
    """Application settings as `local.settings.json` and `func azure functionapp fetch-app-settings` have them."""
    if path is None:
        return
    for name, value in json.loads(path.read_text(encoding="utf-8"))["Values"].items():
        os.environ.setdefault(name, value)


def _live(settings: Settings, options: argparse.Namespace) -> LiveModel | None:
    """The dataset's live model; without storage nobody knows, which is enough for an endpoint that is named."""
    try:
        return composition.live_models(settings).get(options.dataset)
    except InvalidInputError:
        if options.url or settings.aml_endpoint_url:
            return None
        raise


def _authorization(
    settings: Settings, url: str, key_from: str | None, identity: composition.Identity, fresh: bool
) -> str:
    if key_from:
        return f"Bearer {os.environ[key_from]}"
    if settings.aml_endpoint_key is not None and url == settings.aml_endpoint_url:  # nobody else is shown that key
        return f"Bearer {settings.aml_endpoint_key.get_secret_value()}"
    return f"Bearer {identity.token(fresh)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.profiling", description=__doc__)
    add = parser.add_argument
    add("--dataset", default="gas", help="whose contract, and whose live endpoint (default: %(default)s)")
    add("--url", help="another scoring URL than the app's own")
    add("--deployment", help="pins every request to this deployment")
    add("--key-from", metavar="VARIABLE", help="environment variable with the key of --url (default: the identity)")
    add("--settings", type=Path, help="application settings, as local.settings.json has them")
    add("--yes", action="store_true", help="also where production traffic may go")
    add("--file", type=Path, help="rows to send (default: made up from the contract)")
    add("--rows", type=int, help="rows a request (default: found out)")
    add("--wire", choices=("auto", "arrow", "json"), default="auto")
    add("--requests", type=int, default=200, help="at most so many a level (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="at most so long a level (default: %(default)s)")
    add("--total-seconds", type=float, default=180.0, help="no level begins after (default: %(default)s)")
    add("--most-in-flight", type=int, default=32, help="the last level (default: %(default)s)")
    add("--rows-per-second", type=float, help="goal: what all instances together are to take")
    add("--p95-ms", type=float, help="goal: within which 95 of 100 requests are to be answered")
    add("--instances", type=int, default=1, help="machines of the measured deployment (default: %(default)s)")
    add("--utilisation", type=float, default=0.7, help="share of a machine that is to be used (default: %(default)s)")
    add("--files-at-once", type=int, default=1, help="files scored at the same time (default: %(default)s)")
    add("--json", type=Path, help="also write everything to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
