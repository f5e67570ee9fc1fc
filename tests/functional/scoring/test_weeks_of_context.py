"""The detector as it is declared: it looks at four weeks before a row, across requests and files, and no further."""

from __future__ import annotations

from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import GAS, World, hourly, rows_of, table

_ROWS = hourly(GAS.context_rows + 60)
_NEW = 40
"""Rows of the file that comes last."""


def _world(endpoint: FakeEndpoint, rows_per_request: int = 1000) -> World:
    endpoint.calm()
    return World.build(endpoint, score_rows_per_request=rows_per_request)


def test_requests_and_files_are_scored_as_the_whole(endpoint: FakeEndpoint) -> None:
    whole = _world(endpoint).scored("gas/x.csv", table(_ROWS))

    assert _world(endpoint, 190).scored("gas/x.csv", table(_ROWS)) == whole

    world = _world(endpoint)
    before = world.scored("gas/before.csv", table(_ROWS[:-_NEW]))
    after = world.scored("gas/after.csv", table(_ROWS[-_NEW:]))
    assert before.splitlines() + after.splitlines()[1:] == whole.splitlines()
    assert len(endpoint.received[-1].columns["VolCorrected"]) == GAS.context_rows + _NEW


def test_what_is_within_the_context_tells_and_what_is_before_it_does_not(endpoint: FakeEndpoint) -> None:
    last = rows_of(_world(endpoint).scored("gas/x.csv", table(_ROWS)))[-1]
    reach = _ROWS[-GAS.context_rows - 1 :]

    assert rows_of(_world(endpoint).scored("gas/x.csv", table(reach)))[-1] == last
    assert rows_of(_world(endpoint).scored("gas/x.csv", table(reach[-_NEW:])))[-1] != last


def test_other_meters_in_between_change_nothing(endpoint: FakeEndpoint) -> None:
    north = [(*row, "north") for row in _ROWS]
    south = [(*row, "south") for row in hourly(len(_ROWS), seed=6)]
    alone = rows_of(_world(endpoint).scored("gas/x.csv", table(north)))
    turns = [row for pair in zip(north, south, strict=True) for row in pair]
    world = _world(endpoint, 300)

    world.scored("gas/before.csv", table(turns[: -2 * _NEW]))
    after = rows_of(world.scored("gas/after.csv", table(turns[-2 * _NEW :])))

    assert [row for row in after if row[2] == "north"] == alone[-_NEW:]
