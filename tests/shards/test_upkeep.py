"""Changes from one codec to another that were cut off: readers go on, and the next writer completes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvec import Index, Shards
from polyvec.errors import StorageError
from polyvec.index.writing.writer import Writer
from polyvec.shards.manifest import read_manifest
from tests.conftest import WordEncoder
from tests.shards.conftest import Both
from tests.shards.corpus import documents
from tests.shards.same import assert_same


class Failing:
    """Adoption that fails at the n-th shard."""

    def __init__(self, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, done = Writer.adopt, []

        def adopt(self: Writer, *given: object, **named: object) -> None:
            done.append(self)
            if len(done) == at:
                raise StorageError("no space left")
            whole(self, *given, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Writer, "adopt", adopt)


def codecs(folder: Path) -> list[str | None]:
    found = []
    for name in read_manifest(folder).shards:
        with Index.open(folder / name) as index:
            codec = index._settings.codec
            found.append(None if codec is None else codec.checksum)
    return found


@pytest.mark.parametrize("first", [False, True], ids=["another", "first"])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_change_that_was_cut_off(both: Both, monkeypatch: pytest.MonkeyPatch, at: int, first: bool) -> None:
    shards, index = both
    if not first:
        shards.compact()
        shards.add(documents(60, first=300))
        index.add(documents(60, first=300))
    with monkeypatch.context() as patched:
        Failing(at, patched)
        with pytest.raises(StorageError, match="no space"):
            shards.compact(retrain=True)
    shards.close()
    before = codecs(shards.path)
    assert len(set(before)) == (1 if at == 1 else 2)
    with Shards.open(shards.path, encoder=WordEncoder()) as again:
        assert len(again.search("green tea", k=200)) == len(index)
        assert again.verify() == []
        again.add(documents(1, first=990))
        assert len(set(codecs(shards.path))) == 1
        assert [one for one in codecs(shards.path) if one is not None] in ([], [before[0]] * 4)
        index.add(documents(1, first=990))
        again.compact(retrain=True)
        index.compact(retrain=True)
        assert len(set(codecs(shards.path))) == 1
        if first and at == 1:  # nothing was in codes before that were decoded again
            assert_same(again, index, ["green tea"])
