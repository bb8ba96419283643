"""Where an index is taken, shards are: the server, an evaluation, a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvec import Index, Shards
from polyvec.collection.searcher import Searcher
from polyvec.errors import StorageError
from polyvec.shards.opening import copy_collection, open_collection
from tests.conftest import WordEncoder
from tests.shards.conftest import Both


def test_the_kind_follows_from_the_folder(both: Both) -> None:
    for one, kind in ((both.shards, Shards), (both.index, Index)):
        one.close()
        with open_collection(one.path, encoder=WordEncoder(), auto_refresh=True) as opened:
            assert type(opened) is kind
            searcher: Searcher = opened
            assert searcher.search("tea")


def test_copies_of_both_kinds(both: Both, tmp_path: Path) -> None:
    for number, one in enumerate(both):
        assert copy_collection(one.path, tmp_path / str(number), hard_links=True) > 0
        with open_collection(tmp_path / str(number), encoder=WordEncoder()) as copy:
            assert copy.search("green tea") == one.search("green tea")
    with pytest.raises(StorageError):
        copy_collection(tmp_path / "none", tmp_path / "out", hard_links=False)


def test_shards_have_the_calls_of_an_index() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    own_ways_to_be_made = {"create_resumable", "open_or_create", "finish"}
    assert public(Index) - public(Shards) == own_ways_to_be_made


def test_shards_are_served(both: Both) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from polyvec.serve.collections import open_collections

    both.shards.close()
    collections = open_collections([both.shards.path], encoder=WordEncoder(), follow=True)
    try:
        one = collections.chosen("shards")
        assert one.index.search("green tea", mode="hybrid") == both.index.search("green tea", mode="hybrid")
        assert one.described()["documents"] == 120
        assert one.index.add([{"id": "one more", "text": "tea"}]).added == 1
        assert one.described()["documents"] == 121
    finally:
        collections.close()
