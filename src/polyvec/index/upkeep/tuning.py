"""An index -> the share of the exact top 10 that each search setting finds, measured on the index itself.

Queries are stretches of stored documents, which are not counted as hits of their own, every token turned away from what is stored:
unchanged stretches find similar ones more easily than questions find answers. `options.with_recall` picks the first setting that
reached what was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.settings import MeasuredRecall
from polyvec.index.engine.options import SearchOptions
from polyvec.index.reader import Snapshot
from polyvec.scoring import default_threads

_QUERIES = 64
_QUERY_TOKENS = 32
_LIKENESS = 0.55  # cosine of a query's token with the stored one it is drawn from; see docs/engine.md
_SEED = 5
_ENOUGH = 0.998  # of recall: who wants more searches exactly
_SETTINGS: tuple[tuple[int, int | None], ...] = (
    (4, 192),
    (6, 384),
    (8, 512),
    (12, 768),
    (16, None),
    (24, 1536),
    (32, 2048),
    (48, 3072),
    (64, 4096),
    (128, 8192),
    (256, 16384),
)  # nprobe, candidates


def measured_curve(snapshot: Snapshot) -> tuple[MeasuredRecall, ...]:
    """One entry a setting, cheapest first. Empty where every document gets a full score."""
    parts = [live for live in snapshot.segments if live.segment.generates_candidates]
    if not parts:
        return ()
    part = max(parts, key=lambda live: live.segment.n_documents)
    positions = np.arange(len(part.rows)) if part.alive is None else part.alive
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(positions, size=min(_QUERIES, len(positions)), replace=False)
    stretches = [(int(part.rows[i]), part.segment.decode(int(i))[:_QUERY_TOKENS]) for i in chosen]
    queries = [(row, _turned(vectors, rng)) for row, vectors in stretches if len(vectors)]
    exact = _found(snapshot, queries, SearchOptions(k=11, exact=True))
    curve: list[MeasuredRecall] = []
    for nprobe, candidates in _SETTINGS:
        found = _found(snapshot, queries, SearchOptions(k=11, nprobe=nprobe, candidates=candidates))
        shares = [len(wanted & hits) / max(len(wanted), 1) for hits, wanted in zip(found, exact, strict=True)]
        recall = round(float(np.mean(shares)), 4)
        curve.append(MeasuredRecall(nprobe, candidates, recall))
        if recall >= _ENOUGH:
            break
    return tuple(curve)


def _turned(vectors: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(t, dim) -> unit rows whose cosine with the given ones is the likeness, in directions drawn at random."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    away = rng.standard_normal(vectors.shape).astype(np.float32)
    away -= (away * unit).sum(axis=1, keepdims=True) * unit
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(_LIKENESS * unit + (1 - _LIKENESS**2) ** 0.5 * away, np.float32)


def _found(
    snapshot: Snapshot, queries: Sequence[tuple[int, npt.NDArray[np.float32]]], options: SearchOptions
) -> list[set[int]]:
    """The best ten of each query, less the row it was taken from; one query a thread."""

    def one(query: tuple[int, npt.NDArray[np.float32]]) -> set[int]:
        rows, _ = snapshot.search(query[1], options, threads=1)
        return set([row for row in rows.tolist() if row != query[0]][:10])

    with ThreadPoolExecutor(default_threads()) as pool:
        return list(pool.map(one, queries))
