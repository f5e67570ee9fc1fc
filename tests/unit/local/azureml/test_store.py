"""What the emulator remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from local.azureml.store import Store

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,20}", fullmatch=True)
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


# every document is flushed to the disk
@settings(max_examples=20)
@given(documents=st.dictionaries(KEYS.map(str.lower), st.dictionaries(st.text(), st.integers()), max_size=8))
def test_another_store_on_the_same_folder_knows_the_same(
    tmp_path_factory: Any, documents: dict[str, dict[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder)
    for key, document in documents.items():
        store.put(key, document)

    again = Store(folder)

    assert {key: again.get(key.upper()) for key in documents} == documents


def test_containers_and_their_versions_are_told_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("models/a", "models/a/versions/1", "models/a/versions/2", "models/ab/versions/1"):
        store.put(key, {"key": key})

    assert [item["key"] for item in store.under("models")] == ["models/a"]
    assert [item["key"] for item in store.under("models/a/versions")] == ["models/a/versions/1", "models/a/versions/2"]
    store.delete_under("models/a")
    assert store.keys("models") == ["models/a", "models/ab/versions/1"]
    assert Store(tmp_path).keys("models") == ["models/a", "models/ab/versions/1"]


def test_what_was_read_changes_nothing_until_it_is_put_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("jobs/a", {"properties": {"status": "Running"}})

    document = store.get("jobs/a")
    assert document is not None
    document["properties"]["status"] = "Failed"

    assert store.get("jobs/a") == {"properties": {"status": "Running"}}


def test_a_write_that_was_broken_off_leaves_the_old_document(tmp_path: Path) -> None:
    Store(tmp_path).put("jobs/a", {"status": "Running"})
    (tmp_path / "jobs" / "a.draft").write_text('{"status": "Comp', encoding="utf-8")

    assert Store(tmp_path).get("jobs/a") == {"status": "Running"}
