"""How fast and how good polyvec is on this machine, and what probing misses in an index: one plain dict a result.

Small enough to run anywhere in a minute: the corpus that ships with the package for the model, clustered vectors drawn from a
seed for the engine. benchmarks/ in the repository compares with other engines on real vectors instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.arguments import LARGEST, instance, list_of, local_path, thread_count, whole_number
from polyvec.collection import Index
from polyvec.demo import build_demo_index, load_demo, measure
from polyvec.errors import InputError
from polyvec.index.place import absolute
from polyvec.index.views import open_view
from polyvec.scoring import available_kernels, default_threads, maxsim_packed
from polyvec.search import SearchOptions

if TYPE_CHECKING:
    from polyvec.encoder import Encoder

Float = npt.NDArray[np.float32]

QUERY_TOKENS = 32
_DIM, _WORDS, _DOCUMENT_TOKENS = 128, 2_000, 40  # of the clustered vectors
_ASKED = 100  # queries timed
_CURVE = ((4, 192), (8, 512), (12, 768), (16, 1024), (32, 2048), (64, 4096), (128, 8192))  # nprobe, candidates
_RECALLS = (0.9, 0.95, 0.99)


@dataclass(frozen=True)
class AuditQuery:
    """vectors: (q, dim) float32 · own: id of the document that the query was cut from, which is not counted as a hit."""

    vectors: Float
    own: str | None = None


def bench(folder: Path, *, encoder: Encoder, documents: int = 5_000, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The model on the demo corpus, then the engine at 4 and 2 bits on clustered vectors. folder: an empty one to build in."""
    yield {"benchmark": "machine", "threads": default_threads(), "maxsim_kernel": available_kernels()[0]}
    yield from _bench_model(folder, encoder)
    for nbits in (4, 2):
        yield from _bench_engine(folder, nbits, documents, seed)


def _bench_model(folder: Path, encoder: Encoder) -> Iterator[dict[str, Any]]:
    demo = load_demo()
    list(encoder.encode_queries([demo.queries[0].text]))  # the first call sets threads and buffers up
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
        searched = _timed(index.search, texts)
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
                found.append([hit.id for hit in index.search_vectors(query, threads=threads)])  # type: ignore[union-attr]

            timed = _timed(one, queries)
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
    """Unit rows around the centres of made-up words, drawn by a power law; and queries near the words of one document each.

    Returns (T, 128) float32, (documents + 1,) offsets, and 100 arrays (32, 128).
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((_WORDS, _DIM), dtype=np.float32)
    weights = 1 / np.arange(1, _WORDS + 1)
    words = rng.choice(_WORDS, size=documents * _DOCUMENT_TOKENS, p=weights / weights.sum())
    tokens = _unit(centres[words] + 0.6 * rng.standard_normal((len(words), _DIM), dtype=np.float32))
    offsets = np.arange(0, len(words) + 1, _DOCUMENT_TOKENS, dtype=np.int64)
    asked = rng.integers(0, documents, _ASKED)
    rows = asked[:, None] * _DOCUMENT_TOKENS + np.arange(QUERY_TOKENS)
    noise = 0.05 * rng.standard_normal((_ASKED, QUERY_TOKENS, _DIM), dtype=np.float32)
    return tokens, offsets, list(_unit(tokens[rows] + noise))


# -- audit -------------------------------------------------------------------------------------------------------------


def audit(
    index: Index, queries: Sequence[AuditQuery], *, k: int = 10, threads: int | None = None
) -> Iterator[dict[str, Any]]:
    """Compare searching the index with scoring every document of it, in overlap@k and time.

    The first result is the exact search, then the defaults, recall targets, and a curve of settings, cheapest first.
    Raises InputError where there are no queries or documents.
    """
    instance("index", index, Index)
    queries = [instance(f"queries[{i}]", one, AuditQuery) for i, one in enumerate(list_of("queries", queries))]
    k, threads = whole_number("k", k, of="hits", most=LARGEST - 1), thread_count(threads, default_threads)
    if not queries:
        raise InputError("audit: no queries. Give some, or an index with documents to take them from.")
    facts = index.info()
    common = {
        "benchmark": "audit",
        "documents": facts["documents"],
        "tokens": facts["tokens"],
        "nbits": facts["nbits"],
        "k": k,
        "queries": len(queries),
        "threads": threads,
    }
    settings = [("exact", SearchOptions(exact=True)), ("defaults", SearchOptions())]
    settings += [(f"recall={recall}", SearchOptions(recall=recall)) for recall in _RECALLS]
    settings += [(f"nprobe={p} candidates={c}", SearchOptions(nprobe=p, candidates=c)) for p, c in _CURVE]
    wanted: list[set[str]] = []
    for name, options in settings:
        found, timed = _audited(index, queries, replace(options, k=k + 1), k, threads)
        wanted = wanted or found
        shares = [len(hits & right) / max(len(right), 1) for hits, right in zip(found, wanted, strict=True)]
        yield {**common, "setting": name, f"overlap@{k}": round(float(np.mean(shares)), 4), **timed}


def _audited(
    index: Index, queries: Sequence[AuditQuery], options: SearchOptions, k: int, threads: int | None
) -> tuple[list[set[str]], dict[str, float]]:
    found: list[set[str]] = []

    def one(query: AuditQuery) -> None:
        hits = index.search_vectors(query.vectors, options=options, threads=threads)
        found.append(set([hit.id for hit in hits if hit.id != query.own][:k]))  # type: ignore[union-attr]

    return found, _timed(one, queries)


def stretches(path: Path, *, count: int = _ASKED, seed: int = 0) -> list[AuditQuery]:
    """Queries cut from stored documents: up to 32 token vectors each, as search sees them. Fewer where documents are few."""
    count, seed = whole_number("count", count, of="queries"), whole_number("seed", seed, least=0)
    view = open_view(absolute(local_path("path", path)))
    try:
        with view:
            segments = view.snapshot.segments
            rows = [live.rows if live.alive is None else live.rows[live.alive] for live in segments]
            flat = np.concatenate(rows) if rows else np.empty(0, np.int64)
            chosen = np.random.default_rng(seed).choice(flat, size=min(count, len(flat)), replace=False)
            ids = view.catalog.documents(chosen.tolist())
            return [AuditQuery(view.snapshot.vectors(row)[:QUERY_TOKENS], ids[row].id) for row in chosen.tolist()]
    finally:
        view.retire()


# -- inside ------------------------------------------------------------------------------------------------------------


def _timed(call: Callable[[Any], object], arguments: Sequence[Any]) -> dict[str, float]:
    seconds = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - started)
    milliseconds = 1000 * np.array(seconds)
    return {
        "p50_ms": round(float(np.median(milliseconds)), 3),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 3),
    }


def _best(scores: Float, k: int = 10) -> set[str]:
    return {str(row) for row in np.lexsort((np.arange(len(scores)), -scores))[:k]}


def _unit(rows: Float) -> Float:
    unit: Float = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit
