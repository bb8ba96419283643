"""What lies at an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvec import Index, Shards
from polyvec.cluster.serving.place import collection_at_address, name_of
from polyvec.errors import InputError, StorageError
from polyvec.publish import publish
from tests.cluster.in_process import publish_shards
from tests.conftest import WordEncoder
from tests.shards.corpus import documents

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")


def test_folders_and_what_is_published(tmp_path: Path) -> None:
    with Shards.create(tmp_path / "shards", shards=3, encoder=WordEncoder()) as shards:
        shards.add(documents(20))
    with Index.create(tmp_path / "wiki.polyvec", encoder=WordEncoder()) as index:
        index.add(documents(20))
    publish_shards(tmp_path / "shards", tmp_path / "published")
    publish(tmp_path / "wiki.polyvec", tmp_path / "one")
    names = ("shard-000", "shard-001", "shard-002")
    found = collection_at_address(str(tmp_path / "shards"))
    assert (found.version, found.names, {shard.label for shard in found.shards}) == (None, names, {""})
    found = collection_at_address(str(tmp_path / "wiki.polyvec"))
    assert (found.version, found.names) == (None, ("wiki.polyvec",))
    found = collection_at_address(f"file://{tmp_path}/published")
    assert (found.version, found.names) == (1, names)
    assert all(shard.label == f"1-{shard.publication}" for shard in found.shards)
    found = collection_at_address(str(tmp_path / "one"))
    assert (found.version, found.names) == (1, ("one",))
    assert collection_at_address(str(tmp_path / "one")) == found
    with Shards.open(tmp_path / "shards", encoder=WordEncoder()) as shards:
        shards.add(documents(5, first=50))
    publish_shards(tmp_path / "shards", tmp_path / "published")
    assert collection_at_address(str(tmp_path / "published")).version == 2


def test_nothing_or_something_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("")
    for name, message in (("empty", "it is empty"), ("other", "other things are there"), ("none", "no such folder")):
        with pytest.raises(StorageError, match=message):
            collection_at_address(str(tmp_path / name))
    with pytest.raises(InputError):
        collection_at_address("ftp://there/wiki")


def test_names() -> None:
    assert name_of("s3://bucket/folder/wiki") == "wiki"
    assert name_of("/data/wiki.polyvec") == "wiki.polyvec"
    assert name_of("/") == "collection"
