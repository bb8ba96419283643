"""What one index finds and how fast, beside a search of every document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyvec.arguments import LARGEST, instance, list_of, local_path, thread_count, whole_number
from polyvec.bench.machine import QUERY_TOKENS
from polyvec.bench.timing import TIMED_QUERIES, Float, time_calls
from polyvec.collection.index import Index
from polyvec.errors import InputError
from polyvec.index.engine.options import SearchOptions
from polyvec.index.place import absolute
from polyvec.index.views import open_view
from polyvec.scoring import default_threads

_CURVE = ((4, 192), (8, 512), (12, 768), (16, 1024), (32, 2048), (64, 4096), (128, 8192))  # nprobe, candidates
_RECALLS = (0.9, 0.95, 0.99)


@dataclass(frozen=True)
class AuditQuery:
    """Token vectors to search with.

    Attributes:
        vectors: (q, dim) float32.
        own: Id of the document that the query was cut from, which does not count as a hit; None for a real query.
    """

    vectors: Float
    own: str | None = None


def audit(
    index: Index, queries: Sequence[AuditQuery], *, k: int = 10, threads: int | None = None
) -> Iterator[dict[str, Any]]:
    """Compare searching the index with scoring every document of it, in overlap@k and time.

    The first result is the exact search, then the defaults, recall targets, and a curve of settings, cheapest first.

    Raises:
        InputError: There are no queries or documents.
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
        found.append(set([hit.id for hit in hits if hit.id != query.own][:k]))

    return found, time_calls(one, queries)


def stretches(path: Path, *, count: int = TIMED_QUERIES, seed: int = 0) -> list[AuditQuery]:
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
