"""Speed and quality on this machine: the model on the shipped corpus, the engine on vectors made here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.bench.timing import TIMED_QUERIES, Float, time_calls
from polyvec.collection.index import Index
from polyvec.demo import build_demo_index, load_demo, measure
from polyvec.scoring import available_kernels, default_threads, maxsim_packed

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


QUERY_TOKENS = 32
_DIM, _WORDS, _DOCUMENT_TOKENS = 128, 2_000, 40  # of the clustered vectors


def bench(folder: Path, *, encoder: TokenEncoder, documents: int = 5_000, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The model on the demo corpus, then the engine at 4 and 2 bits on clustered vectors.

    Args:
        folder: An empty one to build in.
    """
    yield {"benchmark": "machine", "threads": default_threads(), "maxsim_kernel": available_kernels()[0]}
    yield from _bench_model(folder, encoder)
    for nbits in (4, 2):
        yield from _bench_engine(folder, nbits, documents, seed)


def _bench_model(folder: Path, encoder: TokenEncoder) -> Iterator[dict[str, Any]]:
    demo = load_demo()
    list(encoder.stream_queries([demo.queries[0].text]))  # the first call sets threads and buffers up
    started = time.perf_counter()
    index = build_demo_index(demo, folder / "demo.polyvec", encoder, lambda _: None)
    seconds = time.perf_counter() - started
    with index:
        facts = index.info()
        yield {
            "benchmark": "index texts",
            "model": facts["model"],
            "documents": facts["documents"],
            "tokens": facts["tokens"],
            "documents_per_second": round(facts["documents"] / seconds, 1),
            "tokens_per_second": round(facts["tokens"] / seconds),
        }
        texts = [query.text for query in demo.queries]
        searched = time_calls(index.search, texts)
        quality = measure(index, demo)["overall"]
        yield {
            "benchmark": "search texts",
            **searched,
            "nDCG@10 same language": quality["same"],
            "nDCG@10 across languages": quality["cross"],
        }


def _bench_engine(folder: Path, nbits: int, documents: int, seed: int) -> Iterator[dict[str, Any]]:
    tokens, offsets, queries = clustered_vectors(documents, seed)
    arrays = [tokens[a:b] for a, b in pairwise(offsets)]
    with Index.create(folder / f"vectors-{nbits}.polyvec", dim=_DIM, nbits=nbits) as index:
        started = time.perf_counter()
        index.add_vectors(map(str, range(documents)), arrays)
        index.compact()
        seconds = time.perf_counter() - started
        common = {"nbits": nbits, "documents": documents, "tokens": len(tokens)}
        yield {
            "benchmark": "index vectors",
            **common,
            "tokens_per_second": round(len(tokens) / seconds),
            "bytes_per_token": index.info()["bytes_per_token"],
        }
        exact = [_best(maxsim_packed(query, tokens, offsets)) for query in queries]
        for threads in sorted({1, default_threads()}):
            found: list[list[str]] = []

            def one(query: Float, threads: int = threads, found: list[list[str]] = found) -> None:
                found.append([hit.id for hit in index.search_vectors(query, threads=threads)])

            timed = time_calls(one, queries)
            shares = [len(set(hits) & wanted) / len(wanted) for hits, wanted in zip(found, exact, strict=True)]
            started = time.perf_counter()
            index.search_vectors(queries, threads=threads)
            rate = len(queries) / (time.perf_counter() - started)
            yield {
                "benchmark": "search vectors",
                **common,
                "threads": threads,
                **timed,
                "queries_per_second": round(rate, 1),
                "overlap@10": round(float(np.mean(shares)), 4),
            }


def clustered_vectors(documents: int, seed: int) -> tuple[Float, npt.NDArray[np.int64], list[Float]]:
    """Unit rows around the centers of made-up words, drawn by a power law; and queries near the words of one document each.

    Returns:
        (T, 128) float32, (documents + 1,) offsets, and 100 arrays (32, 128).
    """
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((_WORDS, _DIM), dtype=np.float32)
    weights = 1 / np.arange(1, _WORDS + 1)
    words = rng.choice(_WORDS, size=documents * _DOCUMENT_TOKENS, p=weights / weights.sum())
    tokens = _unit(centers[words] + 0.6 * rng.standard_normal((len(words), _DIM), dtype=np.float32))
    offsets = np.arange(0, len(words) + 1, _DOCUMENT_TOKENS, dtype=np.int64)
    asked = rng.integers(0, documents, TIMED_QUERIES)
    rows = asked[:, None] * _DOCUMENT_TOKENS + np.arange(QUERY_TOKENS)
    noise = 0.05 * rng.standard_normal((TIMED_QUERIES, QUERY_TOKENS, _DIM), dtype=np.float32)
    return tokens, offsets, list(_unit(tokens[rows] + noise))


def _best(scores: Float, k: int = 10) -> set[str]:
    return {str(row) for row in np.lexsort((np.arange(len(scores)), -scores))[:k]}


def _unit(rows: Float) -> Float:
    unit: Float = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit
