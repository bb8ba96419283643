"""polyvec shard: the same documents, codes and answers, without encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec import Index, Shards
from polyvec.errors import IndexMissingError, InputError, StorageError
from polyvec.shards.splitting import split_index
from tests.conftest import WordEncoder
from tests.shards.conftest import Both
from tests.shards.corpus import document, documents, vectors
from tests.shards.same import assert_same


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_split_index_answers_the_same(both: Both, tmp_path: Path, coded: bool, shards: int) -> None:
    index = both.index
    index.delete(["d5", "d6"])
    if coded:
        index.compact()
    index.update([document(3, seed=4), *documents(20, first=400)])
    index.delete(["d8"])
    seen: list[int] = []
    assert split_index(index.path, tmp_path / "out", shards=shards, progress=seen.append) == len(index) == sum(seen)
    encoder = WordEncoder()
    with Shards.open(tmp_path / "out", encoder=encoder) as split:
        assert_same(split, index)
        assert split.verify() == []
        assert (split.info()["deleted_rows"], split.info()["segments"]) == (0, shards)
        assert encoder.encoded == 0
        for one in (split, index):
            one.add(documents(30, first=600))
        assert_same(split, index, ["green tea"])
        if coded:
            wanted, found = index.info()["codec"], split.info()["codec"]
            assert {**found, "size_bytes": 0} == {**wanted, "size_bytes": 0}


def test_codes_are_equal_to_the_bit(both: Both, tmp_path: Path) -> None:
    both.index.compact()
    split_index(both.index.path, tmp_path / "out")
    with Shards.open(tmp_path / "out", encoder=WordEncoder()) as split, split._current() as view:
        one = both.index._view
        for document_id, row in one.catalog.rows_of([f"d{i}" for i in range(120)]).items():
            (there,) = view.catalog.rows_of([document_id]).values()
            assert np.array_equal(view.snapshot.vectors(there), one.snapshot.vectors(row))


def test_an_index_of_vectors(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", dim=8, nbits=16) as index:
        split_index(index.path, tmp_path / "empty")
        index.add_vectors([f"v{i}" for i in range(20)], map(vectors, range(20)))
        split_index(index.path, tmp_path / "out", shards=7)
        with Shards.open(tmp_path / "out") as split, Shards.open(tmp_path / "empty") as empty:
            assert split.search_vectors(vectors(99)) == index.search_vectors(vectors(99))
            assert len(empty) == 0
            empty.add_vectors(["a"], [vectors(1)])
            assert [hit.id for hit in empty.search_vectors(vectors(1))] == ["a"]


def test_what_is_refused(both: Both, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for out, error in ((tmp_path / "full", StorageError), (both.index.path / "inside", StorageError)):
        with pytest.raises(error):
            split_index(both.index.path, out)
    with pytest.raises(InputError):
        split_index(both.index.path, tmp_path / "out", shards=0)
    with pytest.raises(IndexMissingError):
        split_index(tmp_path / "none", tmp_path / "out")
    with pytest.raises(IndexMissingError):
        split_index(both.shards.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_index_leaves_nothing(both: Both, tmp_path: Path) -> None:
    both.index.close()
    segment = next((both.index.path / "segments").glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:-100])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StorageError):
        split_index(both.index.path, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
