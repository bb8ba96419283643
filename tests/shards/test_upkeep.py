"""Changes from one codec to another that were cut off: readers go on, and the next writer completes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, Shards
from polyvec.errors import StorageError
from polyvec.index.upkeep import policy
from polyvec.index.writing import arrivals
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


def codec_of(folder: Path) -> str | None:
    with Index.open(folder) as index:
        codec = index._settings.codec
        return None if codec is None else codec.checksum


def codecs(folder: Path) -> list[str | None]:
    return [codec_of(folder / name) for name in read_manifest(folder).shards]


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


@given(calls=st.lists(st.integers(1, 150), min_size=1, max_size=4), shards=st.sampled_from([2, 3]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_codec_is_that_of_one_index_however_long_the_calls_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, calls: list[int], shards: int
) -> None:
    monkeypatch.setattr(policy, "TRAIN_FROM", 400)
    monkeypatch.setattr(policy, "BUFFER_TOKENS", 60)
    monkeypatch.setattr(arrivals, "BUFFER_TOKENS", 60)  # a call of more than 240 tokens writes several files to a shard
    folder, drawn = tmp_path_factory.mktemp("both"), np.random.default_rng(sum(calls))
    with (
        Shards.create(folder / "shards", dim=8, nbits=2, shards=shards) as several,
        Index.create(folder / "index", dim=8, nbits=2) as index,
    ):
        number = 0
        for count in calls:
            ids = [str(number + i) for i in range(count)]
            vectors = [drawn.standard_normal((int(drawn.integers(1, 12)), 8), dtype=np.float32) for _ in ids]
            number += count
            several.add_vectors(ids, vectors)
            index.add_vectors(ids, vectors)
            assert set(codecs(several.path)) == {codec_of(index.path)}
