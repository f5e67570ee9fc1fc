"""Tails that lie together, and those that a process keeps: never another version than the one asked for."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from aml.contract import load_contract
from shared.errors import StorageUnavailableError
from shared.naming import STATE
from shared.scoring.context import row_schema
from shared.scoring.packs import About, KeptTail, Packs, TailCache
from tests.fakes.blobs import FakeBlobStore

GAS = load_contract("gas")
_AT = datetime.fromisoformat("2026-03-02")


def _tail(name: str, etag: str = "1", rows: int = 3) -> KeptTail:
    found = [{GAS.time: _AT, GAS.value: float(row), GAS.series: "north"} for row in range(rows)]
    about = About(source=f"incoming/gas/{name}", run=f"run of {name}", first=_AT, firsts=(("north", _AT),))
    return KeptTail(name, etag, about, pa.Table.from_pylist(found, schema=row_schema(GAS)))


@pytest.fixture
def blobs() -> FakeBlobStore:
    store = FakeBlobStore()
    store.ensure_containers([STATE])
    return store


def test_a_pack_gives_back_what_was_put_into_it(blobs: FakeBlobStore) -> None:
    packs, tails = Packs(blobs, GAS), [_tail("a", rows=2), _tail("b", "7"), _tail("c", rows=0)]

    packs.write("2026-03", tails)

    found = packs.read("2026-03")
    assert [(each.name, each.etag, each.about) for each in found] == [(e.name, e.etag, e.about) for e in tails]
    assert [each.rows.to_pylist() for each in found] == [each.rows.to_pylist() for each in tails]
    assert packs.read("2026-02") == []


def test_a_pack_that_would_be_too_large_or_cannot_be_written_is_done_without(
    blobs: FakeBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = Packs(blobs, GAS)

    def down(operation: str, container: str, name: str) -> None:
        if operation == "put":
            raise StorageUnavailableError("storage_unavailable", "down")

    blobs.interruption = down
    packs.write("2026-03", [_tail("a")])
    blobs.interruption = None
    monkeypatch.setattr("shared.scoring.packs._PACK_BYTES", 1)
    packs.write("2026-03", [_tail("a")])

    assert packs.read("2026-03") == []


def test_a_process_keeps_the_tails_that_it_needed_last() -> None:
    one = _tail("a")
    cache = TailCache(3 * one.nbytes)
    for name in "abc":
        cache.put(_tail(name))
    assert cache.get("a", "1") is not None

    cache.put(_tail("d"))
    cache.put(_tail("d"))

    assert [name for name in "abcd" if cache.get(name, "1")] == ["a", "c", "d"]
    assert cache.get("a", "2") is None, "another version"
