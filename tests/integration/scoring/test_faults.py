"""Every fault that an endpoint can have, through the real router: no row lost, none doubled, no byte different.

`pytest -s` prints the table that docs/operations.md has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from shared.naming import RESULTS
from tests.functional.scoring.world import hourly, rows_of, table
from tests.integration.scoring.conftest import Faulty

_ROWS = [*hourly(500, meter="north"), *hourly(500, meter="south", seed=6)]
_FILE = table(_ROWS)


@dataclass(frozen=True)
class Fault:
    """What goes wrong, how often that must have happened in the end, and whether the file has to wait for its end."""

    rule: dict[str, Any]
    waits: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


_FAULTS = {
    "429 with Retry-After": Fault({"kind": "status", "status": 429, "retry_after": 7, "times": 3}),
    "408": Fault({"kind": "status", "status": 408, "times": 3, "after": 1}),
    "413": Fault({"kind": "status", "status": 413, "times": 3, "after": 1}),
    "413 to the first request": Fault({"kind": "status", "status": 413, "times": 1}),
    "500": Fault({"kind": "status", "status": 500, "times": 3}),
    "502, every third request": Fault({"kind": "status", "status": 502, "every": 3}),
    "503 from one deployment": Fault({"kind": "status", "status": 503, "times": 3, "deployment": "blue"}),
    "424 around 400": Fault({"kind": "wrapped", "status": 400, "times": 2, "after": 1}),
    "424 around 500": Fault({"kind": "wrapped", "status": 500, "times": 3}),
    "connection reset before the answer": Fault({"kind": "reset_before", "times": 3}),
    "connection reset in the answer's body": Fault({"kind": "reset_within", "times": 3}),
    "answer cut short": Fault({"kind": "truncated", "times": 3}),
    "answer cut between two messages": Fault({"kind": "between_messages", "times": 3}),
    "malformed Arrow": Fault({"kind": "malformed", "times": 3}),
    "too few rows": Fault({"kind": "too_few", "times": 3}),
    "slow": Fault({"kind": "slow", "seconds": 0.3, "times": 3}),
    "slower than the app waits": Fault(
        {"kind": "slow", "seconds": 1.0, "times": 2, "after": 1}, settings={"score_request_timeout_seconds": 0.6}
    ),
    "401, an expired token": Fault({"kind": "status", "status": 401, "times": 1, "after": 2}),
    "401 for as long as nobody helps": Fault({"kind": "status", "status": 401, "after": 2}, "endpoint_unauthorized"),
    "dead from the start, back after minutes": Fault({"kind": "status", "status": 503}, "endpoint_failed"),
    "dead in the middle, back after minutes": Fault({"kind": "reset_before", "after": 5}, "endpoint_unreachable"),
    "dead, with `SCORE_FALLBACK=bundle-when-down`": Fault(
        {"kind": "status", "status": 503, "after": 5}, settings={"score_fallback": "bundle-when-down"}
    ),
    "429 for minutes": Fault({"kind": "status", "status": 429, "retry_after": 30, "after": 5}, "endpoint_throttled"),
    "too few rows for minutes": Fault({"kind": "between_messages", "after": 5}, "malformed_answer"),
}


@pytest.fixture(autouse=True)
def sound(faulty: Faulty) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    faulty.order()


@pytest.fixture(scope="module")
def undisturbed(faulty: Faulty) -> bytes:
    """The scored file when nothing goes wrong."""
    world = faulty.room()
    assert world.score(_FILE).state == "completed"
    return world.result()


@pytest.fixture(scope="module")
def told() -> Iterator[list[str]]:
    """The rows of the fault table, printed at the end."""
    lines: list[str] = []
    yield lines
    print("\n| fault | injected | rows lost | rows doubled | bytes different | on the way |\n|---|---|---|---|---|---|")
    print("\n".join(sorted(lines)))


def _tell(told: list[str], name: str, injected: int, undisturbed: bytes, result: bytes, way: str) -> None:
    given = [list(row) for row in _ROWS]
    got = [row[:3] for row in rows_of(result)]
    lost = sum(row not in got for row in given)
    doubled = len(got) - len({tuple(row) for row in got})
    different = sum(a != b for a, b in zip(undisturbed, result, strict=False)) + abs(len(undisturbed) - len(result))
    told.append(f"| {name} | {injected} | {lost} | {doubled} | {different} | {way} |")


@pytest.mark.parametrize("name", _FAULTS)
def test_a_fault_costs_no_row_and_no_byte(faulty: Faulty, undisturbed: bytes, told: list[str], name: str) -> None:
    fault = _FAULTS[name]
    world = faulty.room(**fault.settings)
    faulty.order(fault.rule)

    run = world.score(_FILE)

    injected = faulty.injected()
    if fault.waits:
        assert (run.state, run.error and run.error.code) == ("waiting", fault.waits)
        assert list(world.blobs.list_blobs(RESULTS)) == []
        faulty.order()
        run = world.again(run)
    assert run.state == "completed", run.error
    assert world.result() == undisturbed
    assert injected >= fault.rule.get("times", 1)
    assert world.manifest()["counts"]["scored"] == len(_ROWS)
    if "retry_after" in fault.rule:
        assert min(world.clock.slept) >= fault.rule["retry_after"]
    way = f"waited (`{fault.waits}`), then scored" if fault.waits else "scored at once"
    if world.manifest()["scored_by"] != "endpoint":
        assert fault.settings["score_fallback"] != "off"
        way += ", the rest by the bundle"
    _tell(told, name, injected, undisturbed, world.result(), way)


def test_a_deployment_that_is_swapped_in_mid_file_scores_none_of_it(
    faulty: Faulty, undisturbed: bytes, told: list[str]
) -> None:
    def unpinned() -> Any:
        return faulty.room(aml_endpoint_url=faulty.url)

    faulty.order({"kind": "swap", "to": "green", "times": 1, "after": 3})
    during, after = unpinned(), unpinned()
    try:
        assert during.score(_FILE).state == "completed"
        swapped = faulty.injected()
        assert after.score(_FILE).state == "completed"
    finally:
        faulty.route("blue")

    assert swapped == 1
    assert during.result() == undisturbed
    assert during.manifest()["model"]["deployment"] == "blue"
    assert after.result() != undisturbed
    assert after.manifest()["model"]["deployment"] == "green"
    _tell(told, "another deployment swapped in mid-file", swapped, undisturbed, during.result(), "scored at once")


def test_one_poisonous_row_alone_carries_an_error(faulty: Faulty, told: list[str]) -> None:
    poisoned = list(_ROWS)
    poisoned[123] = (poisoned[123][0], "-1,25", "north")
    clean = faulty.room()
    clean.score(table([row for place, row in enumerate(_ROWS) if place != 123]))
    world = faulty.room()
    faulty.order({"kind": "wrapped", "status": 400, "holds": struct.pack("<d", -1.25).hex()})

    run = world.score(table(poisoned))

    assert run.state == "completed", run.error
    rows = rows_of(world.result())
    assert [place for place, row in enumerate(rows) if row[-1]] == [123]
    assert [row for place, row in enumerate(rows) if place != 123] == rows_of(clean.result())
    assert world.manifest()["counts"] | {"anomalies": 0} == {
        "rows": 1000,
        "scored": 999,
        "errors": 1,
        "rejected": 0,
        "anomalies": 0,
    }
    injected = faulty.injected()
    assert injected <= 7 + 3, "64 rows are halved down to the one; three more requests in flight held it as context"
    told.append(f"| one poisonous row (424 around 400) | {injected} | 0 | 0 | 0 | only that row has an `error` |")


def test_faults_are_ordered_with_a_token_and_by_their_names(faulty: Faulty) -> None:
    body = {"rules": [{"kind": "status", "times": 1}]}

    assert requests.put(faulty.control, json=body, timeout=10).status_code == 401
    with pytest.raises(AssertionError, match="This is no fault"):
        faulty.order({"kind": "rain"})
    with pytest.raises(AssertionError, match="This is no fault"):
        faulty.order({"kind": "status", "often": True})
    assert faulty.injected() == 0
