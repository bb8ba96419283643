"""Any engine that follows the protocol serves a search: here a tiny one in NumPy, with its vectors in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polyvec
from polyvec.index.catalog.catalog import Catalog
from polyvec.index.codec.codec import Codes
from polyvec.index.engine.choice import Engines, choose_engines
from polyvec.index.engine.options import SearchOptions
from polyvec.index.engine.protocol import Allowed, Engine, OpenSegment
from polyvec.index.format import VECTORS
from polyvec.index.reader import Snapshot
from polyvec.index.upkeep.merging import Source
from polyvec.index.upkeep.tuning import measured_curve

DIM = 8


class MemorySegment:
    """An `OpenSegment` of arrays. Copies a stored one, of which only the checksum is still asked later."""

    def __init__(self, path: Path, stored: OpenSegment[Any]) -> None:
        self.path = path
        self.documents = [stored.decode(i) for i in range(stored.n_documents)]
        self.checksum = stored.checksum
        self.scored = 0

    n_documents = property(lambda self: len(self.documents))
    n_tokens = property(lambda self: sum(map(len, self.documents)))
    doclens = property(lambda self: np.array([len(one) for one in self.documents], np.int64))
    generates_candidates = True

    def score(self, query: np.ndarray, positions: np.ndarray | None, threads: int) -> np.ndarray:
        chosen = range(self.n_documents) if positions is None else positions.tolist()
        self.scored += len(chosen)
        return np.array([(query @ self.documents[i].T).max(axis=1).sum() for i in chosen], np.float32)

    def decode(self, position: int) -> np.ndarray:
        return self.documents[position]

    def codes(self, positions: np.ndarray, codec_checksum: str) -> Codes | None:
        return None

    def verify(self) -> list[str]:
        return []


class MemoryEngine:
    """Candidates are the documents whose mean vector is nearest to the query's, half of those allowed."""

    def __init__(self, stored: Engines) -> None:
        self._stored = stored
        self.opened: list[MemorySegment] = []

    def open(self, path: Path) -> MemorySegment:
        self.opened.append(MemorySegment(path, self._stored[VECTORS].open(path)))
        return self.opened[-1]

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return vectors.copy()

    def candidates(
        self,
        query: np.ndarray,
        options: SearchOptions,
        segments: Sequence[MemorySegment],
        allowed: Sequence[Allowed | None],
        threads: int,
    ) -> list[np.ndarray | None]:
        return [self._nearest(query, *one) for one in zip(segments, allowed, strict=True)]

    def _nearest(self, query: np.ndarray, segment: MemorySegment, allowed: Allowed | None) -> np.ndarray:
        chosen = np.arange(segment.n_documents) if allowed is None else allowed.positions
        means = np.array([segment.documents[i].mean(axis=0) for i in chosen.tolist()]).reshape(len(chosen), DIM)
        near = np.argsort(-(means @ query.mean(axis=0)), kind="stable")
        return np.sort(chosen[near[: -(-len(chosen) // 2)]])


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """Of an index of two segments with deleted rows."""
    rng = np.random.default_rng(2)
    rows = [rng.standard_normal((5, DIM)) for _ in range(60)]
    with polyvec.Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors([f"a{i}" for i in range(50)], rows[:50])
        index.add_vectors([f"b{i}" for i in range(10)], rows[50:])
        index.delete(["a3", "a4", "b1"])
    catalog = Catalog.open(tmp_path / "i")
    yield catalog
    catalog.close()


def snapshots(catalog: Catalog) -> tuple[Snapshot, Snapshot, MemoryEngine]:
    """The index as it is searched by default, and by the engine of this file."""
    folder = catalog.path.parent
    engine = MemoryEngine(choose_engines(DIM, None, ""))
    checked: Engine[np.ndarray, MemorySegment] = engine
    return Snapshot.open(folder, catalog, DIM), Snapshot.open(folder, catalog, DIM, engines={VECTORS: checked}), engine


def query(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((4, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("subset", [None, np.array([2, 3, 7, 40, 51, 55])], ids=["all", "subset"])
def test_another_engine_finds_the_same(catalog: Catalog, subset: np.ndarray | None) -> None:
    default, other, _ = snapshots(catalog)
    for seed in range(10):
        expected = default.search(query(seed), SearchOptions(k=5), subset=subset)
        found = other.search(query(seed), SearchOptions(k=5, exact=True), subset=subset)
        assert found[0].tolist() == expected[0].tolist()
        assert found[1] == pytest.approx(expected[1], abs=1e-3)


@given(places=st.sets(st.integers(0, 30)))
def test_the_mask_of_allowed_documents_is_made_once(places: set[int]) -> None:
    allowed = Allowed(np.array(sorted(places), np.int64), 31)
    assert np.flatnonzero(allowed.mask).tolist() == sorted(places)
    assert (len(allowed.mask), allowed.mask.dtype) == (31, np.uint8)
    assert allowed.mask is allowed.mask


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subset=st.none() | st.sets(st.integers(0, 59)), exact=st.booleans())
def test_a_scope_serves_several_queries_and_has_no_deleted_row(
    catalog: Catalog, subset: set[int] | None, exact: bool
) -> None:
    default, other, _ = snapshots(catalog)
    rows = None if subset is None else np.array(sorted(subset), np.int64)
    wanted = (set(range(60)) if subset is None else subset) - {3, 4, 51}
    queries, options = [query(seed) for seed in range(4)], SearchOptions(k=100, exact=exact)
    for snapshot in (default, other):
        together = snapshot.search_each(queries, options, snapshot.scope(rows), threads=1)
        alone = [snapshot.search(one, options, subset=rows, threads=1) for one in queries]
        assert [(r.tolist(), s.tolist()) for r, s in together] == [(r.tolist(), s.tolist()) for r, s in alone]
        if exact or snapshot is default:
            assert [set(r.tolist()) for r, _ in together] == [wanted] * 4


def test_only_its_candidates_get_a_full_score(catalog: Catalog) -> None:
    _, other, engine = snapshots(catalog)
    rows, _ = other.search(query(1), SearchOptions(k=100))
    assert [segment.scored for segment in engine.opened] == [24, 5]  # of 48 and 9 documents that are not deleted
    assert len(rows) == 29
    assert not {3, 4, 51} & set(rows.tolist())
    other.search(query(1), SearchOptions(k=100, exact=True))
    assert sum(segment.scored for segment in engine.opened) == 29 + 57


def test_open_segments_are_used_again_by_the_same_engine_alone(catalog: Catalog) -> None:
    default, other, engine = snapshots(catalog)
    again = Snapshot.open(other.folder, catalog, DIM, before=other)
    assert [live.segment for live in again.segments] == [live.segment for live in other.segments]
    assert len(engine.opened) == 2
    fresh = Snapshot.open(other.folder, catalog, DIM, before=default, engines=other.engines)
    assert len(engine.opened) == 4
    assert fresh.vectors(2).tolist() == default.vectors(2).tolist()


def test_its_segments_can_be_merged_measured_and_verified(catalog: Catalog, tmp_path: Path) -> None:
    default, other, _ = snapshots(catalog)
    written: list[tuple[np.ndarray, list[int]]] = []

    class Writer:
        def copy(self, source: Any, positions: np.ndarray, doclens: np.ndarray) -> None:
            written.append((np.concatenate([source.decode(i) for i in positions.tolist()]), doclens.tolist()))

    Source(other).copy_into(Writer())  # type: ignore[arg-type]
    assert sum(len(vectors) for vectors, _ in written) == Source(default).tokens == 57 * 5
    assert measured_curve(other)[-1].recall > 0
    assert measured_curve(default) == ()
    assert other.verify() == []
