"""Hits are the same whatever the number of threads and however queries are grouped, in codes and in fp16."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import polyvec
from polyvec.errors import InputError
from polyvec.index import kernels
from polyvec.index.engine.options import SearchOptions

DIM, DOCUMENTS = 32, 900


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    values = rng.standard_normal((rows, DIM)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(scope="module", params=[2, 16])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> polyvec.Index:
    rng = np.random.default_rng(3)
    made = polyvec.Index.create(tmp_path_factory.mktemp("threads") / "i", dim=DIM, nbits=request.param)
    made.add_vectors([f"d{i}" for i in range(DOCUMENTS)], [unit(rng, int(n)) for n in rng.integers(5, 40, DOCUMENTS)])
    made.compact()
    return made


@pytest.mark.parametrize(
    "options",
    [SearchOptions(nprobe=4, candidates=60), SearchOptions(exact=True), SearchOptions(recall=0.9)],
    ids=["probed", "exact", "recall"],
)
def test_threads_and_groups_change_nothing(index: polyvec.Index, options: SearchOptions) -> None:
    rng = np.random.default_rng(4)
    queries = [unit(rng, int(n)) for n in rng.integers(1, 40, 12)]
    alone = [
        [(hit.id, hit.score) for hit in index.search_vectors(query, options=options, threads=1)] for query in queries
    ]
    for threads in (1, 2, 5, 40):
        together = index.search_vectors(queries, options=options, threads=threads)
        assert [[(hit.id, hit.score) for hit in hits] for hits in together] == alone


def test_probing_everything_is_the_exact_ranking(index: polyvec.Index) -> None:
    rng = np.random.default_rng(5)
    query, chosen = unit(rng, 9), [f"d{i}" for i in range(0, DOCUMENTS, 7)]
    everything = SearchOptions(k=200, nprobe=1 << 20, candidates=DOCUMENTS - 1)
    exact = SearchOptions(k=200, exact=True)
    for subset in (None, chosen):
        found = index.search_vectors(query, options=everything, subset=subset)
        wanted = index.search_vectors(query, options=exact, subset=subset)
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in wanted]
        assert subset is None or {hit.id for hit in found} <= set(chosen)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(index: polyvec.Index, threads: int) -> None:
    with pytest.raises(InputError, match="threads="):
        index.search_vectors([np.eye(DIM, dtype=np.float32)], threads=threads)


def finds_the_nearest(threads: int) -> bool:
    """Whether native code on so many threads finds what it should."""
    rng = np.random.default_rng(threads)
    vectors, centroids = unit(rng, 5000), unit(rng, 50)
    found = kernels.assign(
        vectors, np.zeros(5000, np.int32), centroids, np.zeros(50, np.float32), np.array([0, 50]), threads=threads
    )
    return bool(((vectors @ centroids.T).max(axis=1) - (vectors * centroids[found]).sum(axis=1) < 1e-5).all())


def test_many_callers_share_the_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(finds_the_nearest, [2, 3, 5, 9] * 20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_fork_has_threads_of_its_own() -> None:
    assert finds_the_nearest(3)
    child = os.fork()
    if not child:
        os._exit(0 if finds_the_nearest(3) and finds_the_nearest(4) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert finds_the_nearest(4)
