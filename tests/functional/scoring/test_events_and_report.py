"""What a scored file is said to hold beside its rows: events in the manifest, and a page for a person."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.naming import RESULTS
from shared.scoring.events import GAP_ROWS
from tests.fakes.endpoint import FakeEndpoint, poisoned_by
from tests.functional.scoring.world import Row, World, hourly, rows_of, table


def _with_spikes(rows: list[Row], *places: int) -> list[Row]:
    return [(row[0], "900,5", *row[2:]) if place in places else row for place, row in enumerate(rows)]


_FILES = {
    "in order": table(_with_spikes(hourly(150), 20, 21, 23, 90)),
    "shuffled": table([_with_spikes(hourly(101), 20, 21, 23, 90)[(7 * place) % 101] for place in range(101)]),
    "several meters": table(
        [
            *_with_spikes(hourly(70, meter="north"), 30, 31),
            *_with_spikes(hourly(50, meter="<b>south</b>", seed=6), 10, 49),
        ]
    ),
}


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M:%S")  # noqa: DTZ007 - wall clock


def _spans(scored: bytes) -> list[tuple[str | None, str, str, int]]:
    """Series, start, end and flagged rows of the events, from the rows of a scored file of accepted rows."""
    found: list[tuple[str | None, str, str, int]] = []
    rows = rows_of(scored)
    flag = scored.splitlines()[0].split(b";").index(b"anomaly")
    several = flag == 3
    for meter in sorted({row[2] if several else "" for row in rows}):
        own = sorted((row for row in rows if not several or row[2] == meter), key=lambda row: _moment(row[0]))
        flagged = [place for place, row in enumerate(own) if row[flag] == "1"]
        episode: list[int] = []
        for place in [*flagged, None]:
            if episode and (place is None or place - episode[-1] > GAP_ROWS + 1):
                ends = (_moment(own[at][0]).isoformat(sep=" ") for at in (episode[0], episode[-1]))
                found.append((meter or None, *ends, len(episode)))  # type: ignore[arg-type] # two of them
                episode = []
            episode += [] if place is None else [place]
    return found


def _told(world: World, data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """The events in the manifest, the page, and the scored file."""
    run = world.score("gas/x.csv", data)
    assert run.state == "completed", run.error
    return world.manifest(run)["events"], world.result("gas/x_report.html"), world.result("gas/x_scored.csv")


@pytest.mark.parametrize("kind", _FILES)
def test_events_are_those_of_the_flagged_rows(world: World, kind: str) -> None:
    events, _, scored = _told(world, _FILES[kind])

    found = [(each["series"], each["start"], each["end"], each["rows"]) for each in events["items"]]
    assert sorted(found, key=str) == sorted(_spans(scored), key=str)
    assert len(found) == events["count"] == events["shown"] == sum(events["kinds"].values()) > 1


@pytest.mark.parametrize("kind", _FILES)
@pytest.mark.parametrize("rows_per_request", [1, 7, 1000])
def test_events_and_page_do_not_depend_on_requests(endpoint: FakeEndpoint, kind: str, rows_per_request: int) -> None:
    endpoint.mood = poisoned_by(900.75)
    data = _FILES[kind].replace(b"900,5", b"900,75", 1)

    expected = _told(World.build(endpoint), data)

    assert _told(World.build(endpoint, score_rows_per_request=rows_per_request), data) == expected


def test_the_page_is_one_of_the_results(world: World) -> None:
    _, page, _ = _told(world, _FILES["several meters"])

    assert world.blobs.content_type(RESULTS, "gas/x_report.html") == "text/html; charset=utf-8"
    assert "&lt;b&gt;south&lt;/b&gt;" in page.decode()
    assert b"<b>south" not in page


def test_a_file_that_is_scored_again_by_the_same_model_has_the_same_page(world: World) -> None:
    run = world.score("gas/x.csv", _FILES["in order"])
    page = world.blobs.get(RESULTS, "gas/x_report.html")
    world.clock.advance(timedelta(days=3))

    again = world.app.files.run(world.app.files.ask_again(world.app.runs.load("gas", run.id)))

    assert again.state == "completed"
    assert world.blobs.get(RESULTS, "gas/x_report.html") == page  # its ETag too: it was not written again
    assert json.loads(world.result("gas/x_manifest.json"))["outputs"][-1]["etag"] == page[1].etag
