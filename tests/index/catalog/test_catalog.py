"""The catalog's version: others are refused in one line, and what a later version may add is passed over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.collection.repair import repair_index
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.catalog.catalog import Catalog
from tests.conftest import WordEncoder


@pytest.fixture
def path(tmp_path: Path, encoder: WordEncoder) -> Path:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add([{"id": "a", "text": "red tea"}, {"id": "b", "text": "blue river"}])
    return tmp_path / "i"


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path / "catalog.sqlite")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        (
            f"PRAGMA application_id = {0x504F4C59}",
            StorageError,
            "was written by a development version of polyvec, .* Build it again with `polyvec index`",
        ),
        (
            "PRAGMA user_version = 2",
            StorageError,
            r"written by a newer polyvec \(catalog version 2, this one reads 1\)",
        ),
        ("PRAGMA application_id = 7", IndexCorruptError, "is not a polyvec catalog"),
        (
            "UPDATE segments SET kind = 'graph'",
            StorageError,
            "of kind 'graph', which this polyvec does not know. Upgrade",
        ),
    ],
)
def test_other_versions_are_refused(
    path: Path, encoder: WordEncoder, statement: str, error: type[Exception], message: str
) -> None:
    change(path, statement)
    calls: list[Callable[[], object]] = [
        lambda: Index.open(path, encoder=encoder), lambda: repair_index(path, encoder=encoder)
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(error, match=message) as caught:
            call()
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)


def test_what_a_later_version_may_add_is_passed_over(path: Path, encoder: WordEncoder) -> None:
    change(
        path,
        "CREATE TABLE statistics (word TEXT PRIMARY KEY, documents INTEGER)",
        "INSERT INTO statistics VALUES ('tea', 1)",
        f"INSERT INTO meta VALUES ('shard', '{json.dumps({'number': 3})}')",
        "ALTER TABLE segments ADD COLUMN statistics BLOB",
        "ALTER TABLE documents ADD COLUMN language TEXT",
    )
    with Index.open(path, encoder=encoder) as index:
        assert [hit.id for hit in index.search("red tea", k=1)] == ["a"]
        assert index.verify() == []
        index.add([{"id": "c", "text": "salt wind"}])
        index.delete(["b"])
        index.compact()
        assert [hit.id for hit in index.search("wind", mode="keyword")] == ["c"]
        assert index.verify() == []
    connection = sqlite3.connect(path / "catalog.sqlite")
    assert connection.execute("SELECT value FROM meta WHERE key = 'shard'").fetchone() == ('{"number": 3}',)
    assert connection.execute("SELECT * FROM statistics").fetchall() == [("tea", 1)]
    connection.close()


def test_a_catalog_takes_the_content_of_another_while_it_is_read(path: Path, tmp_path: Path) -> None:
    """What a pull does to a folder that others have open."""
    pinned, watching = Catalog.open(path), Catalog.open(path, pin=False)
    seen = watching.changes()
    writing = Catalog.open(path, write=True)
    with writing.transaction():
        writing.set_settings(next_row=700)
    writing.copy_to(tmp_path / "other.sqlite")
    with writing.transaction():
        writing.set_settings(next_row=900)
    pinned.refresh()
    writing.replace_by(tmp_path / "other.sqlite")
    assert pinned.next_row() == 900
    pinned.refresh()
    assert pinned.next_row() == 700
    assert watching.changes() != seen
    assert pinned.integrity() == []
    for catalog in (pinned, watching, writing):
        catalog.close()


def test_an_index_that_was_pulled_is_not_written(path: Path, encoder: WordEncoder, tmp_path: Path) -> None:
    change(path, """INSERT INTO meta VALUES ('pulled', '{"url": "s3://bucket/wiki"}')""")
    with Index.open(path, encoder=encoder) as index:
        with pytest.raises(StorageError, match=r"was pulled from s3://bucket/wiki, .* it is only read"):
            index.delete(["a"])
        index.copy(tmp_path / "own")
    with Index.open(tmp_path / "own", encoder=encoder) as own:
        assert own.delete(["a"]) == 1
