"""Which documents are scored in full: most of the exact best, few for easy questions, the same whatever the threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polyvec
from polyvec.index.coded_segment import CodesSegment
from polyvec.index.definitions import find_candidates_definition
from polyvec.index.engine import codes
from polyvec.index.engine.candidates import find_candidates, narrowing
from polyvec.index.engine.options import SearchOptions
from polyvec.index.reader import Snapshot

DIM, DOCUMENTS, TOKENS = 32, 3_000, 8


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> polyvec.Index:
    """Tokens lie around 300 words."""
    rng = np.random.default_rng(11)
    words = rng.standard_normal((300, DIM))
    made = polyvec.Index.create(tmp_path_factory.mktemp("candidates") / "i", dim=DIM, nbits=4)
    texts = [
        unit(words[rng.integers(0, 300, TOKENS)] + 0.4 * rng.standard_normal((TOKENS, DIM))) for _ in range(DOCUMENTS)
    ]
    made.add_vectors([f"d{i}" for i in range(DOCUMENTS)], texts)
    made.compact()
    made.refresh()
    return made


def stretches(index: polyvec.Index, noise: float, count: int = 30) -> list[np.ndarray]:
    rng = np.random.default_rng(12)
    snapshot: Snapshot = index._view.snapshot
    rows = rng.choice(DOCUMENTS, count, replace=False)
    return [unit(snapshot.vectors(int(row)) + noise * rng.standard_normal((TOKENS, DIM))) for row in rows]


def parts(index: polyvec.Index) -> tuple[Snapshot, list[CodesSegment]]:
    snapshot: Snapshot = index._view.snapshot
    segments: list[Any] = [live.segment for live in snapshot.segments if live.segment.generates_candidates]
    return snapshot, segments


def kept(index: polyvec.Index, query: np.ndarray, options: SearchOptions, threads: int = 1) -> list[list[int]]:
    snapshot, segments = parts(index)
    assert snapshot.codec is not None
    found = find_candidates(
        snapshot.codec, snapshot.codec.query(query), options, segments, [None] * len(segments), threads
    )
    return [positions.tolist() for positions in found]


@pytest.mark.parametrize("options", [SearchOptions(), SearchOptions(k=50), SearchOptions(nprobe=4, candidates=200)])
def test_they_are_those_of_the_definition(index: polyvec.Index, options: SearchOptions) -> None:
    """On clustered vectors, where every step has something to choose; test_kernels.py has the odd cases."""
    snapshot, (segment,) = parts(index)
    codec = snapshot.codec
    assert codec is not None
    mask = (np.arange(segment.n_documents) % 2).astype(np.uint8)
    for query in stretches(index, 0.3, 4):
        asked = codec.query(query)
        expected = find_candidates_definition(
            **codec.for_search(), segments=[segment.for_search()] * 2, masks=[None, mask], query=asked.rows,
            query_scales=asked.scales, narrowing=narrowing(options, len(codec.centroids)),
        )  # fmt: skip
        found = find_candidates(codec, asked, options, [segment, segment], [None, mask], 2)
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]
        assert 0 < len(found[1]) < len(found[0])


def test_most_of_the_exact_best_is_found(index: polyvec.Index) -> None:
    shares = []
    for query in stretches(index, 0.1):
        exact = {hit.id for hit in index.search_vectors(query, options=SearchOptions(exact=True))}
        shares.append(len(exact & {hit.id for hit in index.search_vectors(query)}) / len(exact))
    assert np.mean(shares) > 0.9


def test_easy_questions_have_fewer_candidates(index: polyvec.Index) -> None:
    options = SearchOptions(k=1)
    easy = [sum(map(len, kept(index, query, options))) for query in stretches(index, 0.02)]
    hard = [sum(map(len, kept(index, query, options))) for query in stretches(index, 1.0)]
    assert np.mean(easy) < np.mean(hard) / 2
    assert min(easy) >= 1


def test_given_numbers_are_kept_to(index: polyvec.Index) -> None:
    options = SearchOptions(k=3, candidates=80)
    for query in stretches(index, 1.0):
        found = kept(index, query, options)
        assert sum(map(len, found)) == options.scored == 18
        assert all(positions == sorted(set(positions)) for positions in found)


@pytest.mark.parametrize("options", [SearchOptions(), SearchOptions(k=60), SearchOptions(candidates=50)])
def test_threads_change_nothing(index: polyvec.Index, options: SearchOptions) -> None:
    for query in stretches(index, 0.3, 5):
        assert kept(index, query, options, threads=3) == kept(index, query, options)


def test_what_is_masked_is_no_candidate(index: polyvec.Index) -> None:
    snapshot, segments = parts(index)
    assert snapshot.codec is not None
    masks = [(np.arange(segment.n_documents) % 3 == 0).astype(np.uint8) for segment in segments]
    for query in stretches(index, 0.1, 5):
        asked = snapshot.codec.query(query)
        for positions in find_candidates(snapshot.codec, asked, SearchOptions(), segments, masks, 1):
            assert (positions % 3 == 0).all()


@pytest.mark.parametrize(
    "rows", [np.zeros((3, DIM)), np.eye(DIM)[:1], np.tile(np.eye(DIM), (3, 1)), 1e-20 * np.eye(DIM)]
)
def test_odd_queries(index: polyvec.Index, rows: np.ndarray) -> None:
    """Rows of zeros, one row, more rows than a table has lanes, and tiny ones."""
    for positions in kept(index, rows.astype(np.float32), SearchOptions()):
        assert positions == sorted(set(positions))


@pytest.mark.parametrize(("options", "enough"), [(SearchOptions(), 2048), (SearchOptions(candidates=5, k=2), 5)])
def test_few_documents_are_scored_whole(
    index: polyvec.Index, options: SearchOptions, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(*arguments: Any) -> Any:
        asked.append(1)
        return find_candidates(*arguments)

    monkeypatch.setattr(codes, "find_candidates", counted)
    assert options.enough == enough
    for allowed, probed in ((enough, 0), (enough + 1, 1)):
        index.search_vectors(
            np.eye(DIM, dtype=np.float32)[:3], options=options, subset=[f"d{i}" for i in range(allowed)]
        )
        assert len(asked) == probed
