"""Exact fp32 MaxSim over token vectors -> the right answers, kept beside the vectors; and measures against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from vectors import PART, load_collection, load_queries

from polyvec.scoring import maxsim_packed

DEPTH = 100


@dataclass(frozen=True)
class Truth:
    """rows: (n, 100) document numbers of each query's best, ties by number · names: of all documents · tokens: in all."""

    rows: npt.NDArray[np.int64]
    names: list[str]
    tokens: int


def exact_top(cache: Path, documents: int, kind: str, count: int | None) -> Truth:
    """Score every document with every query (the first `count`) in fp32, part by part; a second call reads the answers."""
    queries = load_queries(cache, kind).vectors[:count]
    path = cache / f"exact-{kind}-{documents}.npy"
    names, tokens = _names(cache, documents)
    known = np.load(path) if path.exists() else np.empty((0, DEPTH), np.int64)
    if len(known) < len(queries):
        known = np.concatenate([known, _score(cache, documents, queries[len(known) :])])
        np.save(path, known)
    return Truth(known[: len(queries)], names, tokens)


def _score(cache: Path, documents: int, queries: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.int64]:
    best_rows = np.empty((len(queries), 0), np.int64)
    best_scores = np.empty((len(queries), 0), np.float32)
    for first in range(0, documents, PART):
        part = load_collection(cache, min(first + PART, documents), first=first)
        scores = np.stack([maxsim_packed(query, part.tokens, part.offsets) for query in queries])
        rows = np.broadcast_to(np.arange(first, first + len(part.names)), scores.shape)
        best_rows, best_scores = np.hstack([best_rows, rows]), np.hstack([best_scores, scores])
        order = np.stack([np.lexsort((r, -s))[:DEPTH] for r, s in zip(best_rows, best_scores, strict=True)])
        best_rows = np.take_along_axis(best_rows, order, axis=1)
        best_scores = np.take_along_axis(best_scores, order, axis=1)
    return best_rows


def _names(cache: Path, documents: int) -> tuple[list[str], int]:
    names: list[str] = []
    tokens = 0
    for first in range(0, documents, PART):
        part = load_collection(cache, min(first + PART, documents), first=first)
        names += part.names
        tokens += int(part.offsets[-1])
    return names, tokens


def overlap(found: Sequence[Sequence[int]], rows: npt.NDArray[np.int64], k: int) -> float:
    """Mean share of the exact top k that was found."""
    shares = [len(set(hits[:k]) & set(exact[:k].tolist())) / k for hits, exact in zip(found, rows, strict=False)]
    return round(float(np.mean(shares)), 4)


def ndcg_at_10(
    found: Sequence[Sequence[int]] | npt.NDArray[np.int64], names: list[str], relevant: Sequence[frozenset[str]]
) -> float:
    """nDCG@10 with judgments of 0 and 1, mean over judged queries."""
    values = []
    for hits, right in zip(found, relevant, strict=True):
        gain = sum(1 / math.log2(rank + 2) for rank, row in enumerate(hits[:10]) if names[int(row)] in right)
        values.append(gain / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(right)))))
    return round(float(np.mean(values)), 4)
