"""What the app relies on in a blob store, of the real client over Azurite and of the fake that other tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.azurite import Azurite
from shared.errors import ConflictError, NotFoundError
from shared.storage import ABSENT, READ_PIECE_BYTES, AzureBlobStore, AzureQueue, BlobStore, Blocks
from tests.fakes.blobs import PIECE_BYTES, FakeBlobStore

_AT_ONCE = 8


@pytest.fixture(params=["fake", "azurite"])
def store(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    if request.param == "fake":
        yield FakeBlobStore(lambda: datetime.now(UTC))
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield AzureBlobStore(service)


@pytest.fixture
def container(store: BlobStore) -> str:
    name = f"c{uuid4().hex[:12]}"
    store.ensure_containers([name])
    return name


def _winners(attempt: Callable[[int], object]) -> list[int]:
    """Which of eight attempts at once ended without a conflict."""

    def wins(number: int) -> bool:
        try:
            attempt(number)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [number for number, won in enumerate(pool.map(wins, range(_AT_ONCE))) if won]


def test_what_is_put_is_got_with_its_etag_size_time_and_metadata(store: BlobStore, container: str) -> None:
    etag = store.put(container, "gas/año 1.csv", b"1;2\n", content_type="text/csv", metadata={"state": "received"})

    data, info = store.get(container, "gas/año 1.csv")

    assert data == b"1;2\n"
    assert (info.container, info.name, info.etag, info.size) == (container, "gas/año 1.csv", etag, 4)
    assert '"' not in etag
    assert info.metadata == {"state": "received"}
    assert abs(info.last_modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert store.info(container, "gas/año 1.csv") == info


def test_containers_that_are_there_stay_as_they_are(store: BlobStore, container: str) -> None:
    store.put(container, "kept", b"x")

    store.ensure_containers([container])

    assert store.get(container, "kept")[0] == b"x"


def test_what_is_not_there_is_not_found(store: BlobStore, container: str) -> None:
    with pytest.raises(NotFoundError) as found:
        store.get(container, "missing")
    assert (found.value.code, found.value.where) == ("blob_not_found", {"blob": f"{container}/missing"})
    with pytest.raises(NotFoundError):
        store.info(container, "missing")
    with pytest.raises(NotFoundError):
        list(store.list_blobs("no-such-container"))
    with pytest.raises(NotFoundError):
        store.folders("no-such-container")
    with pytest.raises(NotFoundError):
        store.put("no-such-container", "x", b"")
    store.delete(container, "missing")
    store.delete("no-such-container", "missing")


@pytest.mark.parametrize("condition", ["absent", "stale"])
def test_a_condition_that_does_not_hold_changes_nothing(store: BlobStore, container: str, condition: str) -> None:
    stale = store.put(container, "x", b"first")
    current = store.put(container, "x", b"second", if_match=stale)
    store.stage(container, "x", "block-1", b"third")

    if_match = ABSENT if condition == "absent" else stale
    with pytest.raises(ConflictError) as conflict:
        store.put(container, "x", b"third", if_match=if_match)
    with pytest.raises(ConflictError):
        store.commit(container, "x", ["block-1"], if_match=if_match)

    assert (conflict.value.code, conflict.value.where) == ("blob_changed", {"blob": f"{container}/x"})
    data, info = store.get(container, "x")
    assert (data, info.etag) == (b"second", current)


def test_an_etag_is_no_condition_that_a_missing_blob_meets(store: BlobStore, container: str) -> None:
    etag = store.put(container, "x", b"first")
    store.delete(container, "x")

    with pytest.raises(ConflictError):
        store.put(container, "x", b"second", if_match=etag)
    with pytest.raises(NotFoundError):
        store.info(container, "x")


def test_only_the_version_that_was_meant_is_deleted(store: BlobStore, container: str) -> None:
    stale = store.put(container, "x", b"first")
    current = store.put(container, "x", b"second")

    with pytest.raises(ConflictError):
        store.delete(container, "x", if_match=stale)
    assert store.get(container, "x")[0] == b"second"
    store.delete(container, "x", if_match=current)
    with pytest.raises(NotFoundError):
        store.info(container, "x")


def test_blocks_are_listed_as_they_are_staged_committed_and_discarded(store: BlobStore, container: str) -> None:
    assert store.blocks(container, "x") == Blocks()
    for block in ("b-3", "b-1", "b-2"):
        store.stage(container, "x", block, block.encode())
    assert store.blocks(container, "x") == Blocks(staged=frozenset({"b-1", "b-2", "b-3"}))

    store.commit(container, "x", ["b-3", "b-1"])
    assert store.blocks(container, "x") == Blocks(("b-3", "b-1"))
    store.stage(container, "x", "b-4", b"4")
    assert store.blocks(container, "x") == Blocks(("b-3", "b-1"), frozenset({"b-4"}))

    store.commit(container, "x", ["b-1", "b-4"])
    assert store.get(container, "x")[0] == b"b-14"
    store.put(container, "x", b"in one go")
    assert store.blocks(container, "x") == Blocks()


def test_staged_blocks_are_invisible_until_they_are_committed_in_the_order_named(
    store: BlobStore, container: str
) -> None:
    for block in ("block-1", "block-2", "block-3"):
        store.stage(container, "x", block, block.encode())
    with pytest.raises(NotFoundError):
        store.info(container, "x")
    assert list(store.list_blobs(container)) == []

    etag = store.commit(container, "x", ["block-3", "block-1"], if_match=ABSENT)

    data, info = store.get(container, "x")
    assert (data, info.etag) == (b"block-3block-1", etag)


def test_an_empty_commit_is_an_empty_blob(store: BlobStore, container: str) -> None:
    store.commit(container, "x", [], if_match=ABSENT)

    info = store.info(container, "x")
    assert info.size == 0
    assert b"".join(store.pieces(container, "x", info.etag)) == b""


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_blob_of_about_one_piece_is_read_to_its_end(store: BlobStore, container: str, more: int) -> None:
    piece = PIECE_BYTES if isinstance(store, FakeBlobStore) else READ_PIECE_BYTES
    data = b"x" * (piece + more)

    etag = store.put(container, "x", data)

    assert b"".join(store.pieces(container, "x", etag)) == data


def test_a_commit_discards_what_another_writer_staged_and_that_one_meets_a_conflict(
    store: BlobStore, container: str
) -> None:
    store.stage(container, "x", "ours-1", b"ours")
    store.stage(container, "x", "them-1", b"theirs")
    store.commit(container, "x", ["them-1"], if_match=ABSENT)

    for condition in (ABSENT, None):
        with pytest.raises(ConflictError):
            store.commit(container, "x", ["ours-1"], if_match=condition)

    assert store.get(container, "x")[0] == b"theirs"


@pytest.mark.parametrize("exists", [False, True])
def test_eight_conditional_writes_at_once_have_one_winner(store: BlobStore, container: str, exists: bool) -> None:
    condition = store.put(container, "x", b"before") if exists else ABSENT

    winners = _winners(lambda number: store.put(container, "x", b"%d" % number, if_match=condition))

    assert len(winners) == 1
    assert store.get(container, "x")[0] == b"%d" % winners[0]


def test_eight_conditional_commits_at_once_have_one_winner(store: BlobStore, container: str) -> None:
    def attempt(number: int) -> None:
        store.stage(container, "x", f"block-{number}", b"%d" % number)
        store.commit(container, "x", [f"block-{number}"], if_match=ABSENT)

    winners = _winners(attempt)

    assert len(winners) == 1
    assert store.get(container, "x")[0] == b"%d" % winners[0]


def test_pieces_are_the_blob_and_end_in_a_conflict_once_it_changes(store: BlobStore, container: str) -> None:
    piece = PIECE_BYTES if isinstance(store, FakeBlobStore) else READ_PIECE_BYTES
    data = bytes(range(256)) * (3 * piece // 256) + b"the end"  # the next piece may be on its way already
    etag = store.put(container, "x", data)

    assert b"".join(store.pieces(container, "x", etag)) == data
    for start, end in ((0, 10), (7, piece + 5), (piece - 1, None), (5, 5), (len(data) - 2, len(data) + 9)):
        assert b"".join(store.pieces(container, "x", etag, start, end)) == data[start:end]
    reading = store.pieces(container, "x", etag)
    next(reading)
    store.put(container, "x", data)

    with pytest.raises(ConflictError):
        list(reading)
    with pytest.raises(ConflictError):
        list(store.pieces(container, "x", etag))
    store.delete(container, "x")
    with pytest.raises(ConflictError):
        list(store.pieces(container, "x", etag))


def test_listing_is_sorted_by_name_under_the_prefix_with_metadata(store: BlobStore, container: str) -> None:
    for name in ("gas/b.json", "gas/a.json", "water/c.json", "root.csv", "gas_raw.csv"):
        store.put(container, name, b"x", metadata={"kind": "score"})

    listed = list(store.list_blobs(container, "gas/"))

    assert [info.name for info in listed] == ["gas/a.json", "gas/b.json"]
    assert [info.metadata for info in listed] == [{"kind": "score"}] * 2
    assert listed[0] == store.info(container, "gas/a.json")
    assert len(list(store.list_blobs(container))) == 5
    assert store.folders(container) == ["gas", "water"]
    store.put(container, "gas/2026/x.json", b"x")
    store.put(container, "gas/2027/y/z.json", b"x")
    assert store.folders(container, "gas/") == ["2026", "2027"]
    assert store.folders(container, "none/") == []


def test_a_queue_is_made_by_its_first_message_which_is_encoded_as_the_host_expects(azurite: Azurite) -> None:
    name = f"q{uuid4().hex[:12]}"
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        AzureQueue(service, name).send('{"run": "ñ"}')
        AzureQueue(service, name).send("second")

        client = service.get_queue_client(name)
        received = sorted(message.content for message in client.receive_messages())

    assert received == ["c2Vjb25k", "eyJydW4iOiAiw7EifQ=="]
