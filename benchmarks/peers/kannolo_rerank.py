"""One vector a document in kANNolo's dense HNSW, then exact MaxSim of the best: what people build of a library for single vectors.

A document's vector is the mean of its token vectors, at length 1; a query's is the mean of its rows. The documents that the
graph finds best are scored in full from fp16 vectors, by this package's exact kernel. The graph has kANNolo's defaults;
nbits says nothing here.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import kannolo
import numpy as np
from vectors import Collection

from polyvec.scoring import maxsim_packed

GRAPH, TOKENS, OFFSETS = "graph.bin", "tokens.npy", "offsets.npy"
ROWS = 2_000  # documents whose tokens are widened to float32 at a time
BEST = 100  # documents scored in full, and what the graph keeps on its way to them: kANNolo's default


def version() -> str:
    return importlib.metadata.version("kannolo")


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    """`threads` is kept to by rayon, which reads it from the environment."""
    folder.mkdir(parents=True)
    vectors = document_vectors(collection.tokens, collection.offsets)
    graph = kannolo.DensePlainHNSW.build_from_array(vectors.ravel(), vectors.shape[1], metric="dotproduct")
    graph.save(str(folder / GRAPH))
    np.save(folder / TOKENS, collection.tokens)
    np.save(folder / OFFSETS, collection.offsets)


def document_vectors(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Means of each document's token vectors, at length 1: (n, dim) float32."""
    found = np.empty((len(offsets) - 1, tokens.shape[1]), np.float32)
    for first in range(0, len(found), ROWS):
        cuts = offsets[first : first + ROWS + 1]
        rows = tokens[cuts[0] : cuts[-1]].astype(np.float32)
        found[first : first + ROWS] = np.add.reduceat(rows, cuts[:-1] - cuts[0], axis=0)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Opened:
    """A graph and the token vectors, mapped, that answer with document numbers."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        self._graph = kannolo.DensePlainHNSW.load(str(folder / GRAPH), metric="dotproduct")
        self._tokens = np.load(folder / TOKENS, mmap_mode="r").view(np.ndarray)
        self._offsets = np.load(folder / OFFSETS)
        self._threads = threads

    def search(self, query: np.ndarray, k: int, best: int = BEST, ef_search: int = BEST) -> list[int]:
        best = max(best, k)
        _, found = self._graph.search(query.mean(axis=0), best, ef_search=max(ef_search, best))
        which = np.unique(np.asarray(found, np.int64))  # in the order of their rows, so that ties go to the first
        which = which[(which >= 0) & (which < len(self._offsets) - 1)]  # filled up with others where too few were found
        scores = maxsim_packed(query, self._tokens, self._offsets, which=which, threads=self._threads)
        order = np.argsort(-scores, kind="stable")[:k]
        return [int(number) for number in which[order]]

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[int]]:
        return [self.search(query, k, **options) for query in queries]
