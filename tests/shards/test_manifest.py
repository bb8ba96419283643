"""What may lie in a folder of shards: one line for each thing that does not belong there, and nothing half-read."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, Shards
from polyvec.errors import IndexCorruptError, IndexMissingError, ModelMismatchError, PolyvecError, StorageError
from polyvec.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from polyvec.shards.opening import open_collection
from tests.conftest import WordEncoder
from tests.shards.corpus import documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards in codes, closed."""
    with Shards.create(tmp_path / "s", shards=3, encoder=WordEncoder()) as shards:
        shards.add(documents(40))
        shards.compact()
    return tmp_path / "s"


def changed(folder: Path, **values: Any) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path, error: type[PolyvecError], *words: str) -> None:
    """Opening is refused in one line, and leaves nobody's lock or file open."""
    with pytest.raises(error) as caught:
        Shards.open(folder, encoder=WordEncoder())
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("values", "error", "word"),
    [
        ({"version": 2}, StorageError, "version 2"),
        ({"version": "1"}, StorageError, "version '1'"),
        ({"version": True}, StorageError, "version True"),
        ({"format": "other"}, IndexCorruptError, "polyvec shards"),
        ({"shards": []}, IndexCorruptError, "1 to 64"),
        ({"shards": "shard-000"}, IndexCorruptError, "names of folders"),
        ({"shards": ["shard-000", "shard-000", "shard-001"]}, IndexCorruptError, "different names"),
        ({"shards": ["shard-000", "../s/shard-001", "shard-002"]}, IndexCorruptError, "names of folders"),
        ({"shards": ["shard-000", "shard-001", "shard-009"]}, IndexMissingError, "shard-009"),
        ({"shards": ["shard-001", "shard-000", "shard-002"]}, IndexCorruptError, "this shard alone"),
        ({"routing": "crc32"}, IndexCorruptError, "routing 'crc32'"),
        ({"dim": 8}, IndexCorruptError, "dim 16"),
        ({"dim": 0}, IndexCorruptError, "dim 0"),
        ({"nbits": 2}, IndexCorruptError, "nbits 4"),
        ({"nbits": 5}, IndexCorruptError, "nbits 5"),
        ({"codecs": []}, IndexCorruptError, "another codec"),
        ({"codecs": ["00000000"]}, IndexCorruptError, "another codec"),
        ({"codecs": None}, IndexCorruptError, "checksums"),
        ({"encoder": None}, ModelMismatchError, "model words"),
        ({"encoder": {"fingerprint": "f", "settings": {"model": "m"}}}, ModelMismatchError, "model m"),
        ({"encoder": {"fingerprint": 3, "settings": {}}}, IndexCorruptError, "encoder"),
    ],
)
def test_a_manifest_that_does_not_fit(folder: Path, values: Any, error: type[PolyvecError], word: str) -> None:
    changed(folder, **values)
    refused(folder, error, word)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": "polyvec shards"}']
)
def test_a_manifest_that_is_none(folder: Path, data: bytes) -> None:
    (folder / MANIFEST_FILE).write_bytes(data)
    with pytest.raises((IndexCorruptError, StorageError), match=MANIFEST_FILE):
        Shards.open(folder)


@pytest.mark.parametrize("key", ["shards", "routing", "dim", "nbits", "encoder", "codecs", "polyvec"])
def test_a_manifest_with_a_key_missing(folder: Path, key: str) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    refused(folder, IndexCorruptError, key)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.dictionaries(
        st.sampled_from(["version", "shards", "dim", "nbits", "encoder", "codecs", "routing"]), VALUES
    )
)
def test_any_values_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("m")
    Manifest(shards=("a",), dim=8, nbits=4, model=None).write(folder)
    changed(folder, **values)
    with contextlib.suppress(IndexCorruptError, StorageError):
        assert isinstance(read_manifest(folder), Manifest)


def test_what_is_written_is_read(tmp_path: Path, folder: Path) -> None:
    manifest = read_manifest(folder)
    assert len(manifest.codecs) == 1
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "no", IndexMissingError, "no such folder")
    refused(tmp_path, IndexMissingError, MANIFEST_FILE)
    with pytest.raises(IndexMissingError):
        open_collection(tmp_path / "no")


def test_an_index_is_not_opened_where_shards_are(folder: Path) -> None:
    with pytest.raises(IndexMissingError, match=r"Shards\.open"):
        Index.open(folder)


def test_a_shard_that_is_missing(folder: Path) -> None:
    shutil.rmtree(folder / "shard-001")
    refused(folder, IndexMissingError, "shard-001", "Restore")


def test_a_shard_of_other_shards(folder: Path, tmp_path: Path) -> None:
    with Shards.create(tmp_path / "other", shards=3, encoder=WordEncoder()) as other:
        other.add(documents(60, seed=9))
        other.compact()
    shutil.rmtree(folder / "shard-001")
    shutil.copytree(tmp_path / "other" / "shard-001", folder / "shard-001")
    refused(folder, IndexCorruptError, "shard-001", "another codec")


def test_a_shard_with_another_model(folder: Path) -> None:
    shutil.rmtree(folder / "shard-001")
    Index.create(folder / "shard-001", encoder=WordEncoder(name="other")).close()
    refused(folder, ModelMismatchError, "shard-001", "model other")


def test_a_shard_whose_codec_was_trained_alone(folder: Path) -> None:
    with Index.open(folder / "shard-002", encoder=WordEncoder()) as index:
        index.add([{"id": "x", "text": "some other words"}])
        index.compact(retrain=True)
    refused(folder, IndexCorruptError, "shard-002")


def test_a_document_that_was_added_to_one_shard_alone(folder: Path) -> None:
    with Index.open(folder / "shard-002", encoder=WordEncoder()) as index:
        index.add([{"id": "x", "text": "tea"}])
    refused(folder, IndexCorruptError, "shard-002", "this shard alone")


def test_a_document_in_the_wrong_shard_is_found(folder: Path) -> None:
    with Shards.open(folder) as shards:
        assert shards.verify() == []
    database = sqlite3.connect(folder / "shard-001" / "catalog.sqlite")
    with database:
        database.execute("UPDATE documents SET id = 'moved' WHERE id = (SELECT min(id) FROM documents)")
    database.close()
    with Shards.open(folder) as shards:
        (problem,) = shards.verify()
        assert "'moved'" in problem
        assert "belongs into shard" in problem


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("damage", [_cut, Path.unlink], ids=["cut", "gone"])
@pytest.mark.parametrize("file", ["*.seg", "*.codec"])
def test_a_damaged_file_of_one_shard(folder: Path, file: str, damage: Callable[[Path], Any]) -> None:
    damage(next((folder / "shard-001" / "segments").glob(file)))
    refused(folder, IndexCorruptError, "shard-001")


def test_an_index_is_opened_as_one(tmp_path: Path, folder: Path) -> None:
    Index.create(tmp_path / "i", dim=8).close()
    with open_collection(tmp_path / "i") as one, open_collection(folder) as several:
        assert isinstance(one, Index)
        assert isinstance(several, Shards)
