"""This package's own index, asked through its public interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from vectors import Collection

import polyvec
from polyvec.index.engine.options import SearchOptions


def version() -> str:
    return polyvec.__version__


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    tokens, offsets = collection.tokens, collection.offsets
    spans = list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))
    with polyvec.Index.create(folder, dim=tokens.shape[1], nbits=nbits) as index:
        index.add_vectors(map(str, range(len(spans))), (tokens[a:b].astype(np.float32) for a, b in spans))
        index.compact()


class Opened:
    """An index that answers with document numbers, which are its ids."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        self._index = polyvec.Index.open(folder)
        self._threads = threads

    def search(self, query: np.ndarray, k: int, **options: Any) -> list[str]:
        hits = self._index.search_vectors(query, options=SearchOptions(k=k, **options), threads=self._threads)
        return [hit.id for hit in hits]

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[str]]:
        found = self._index.search_vectors(queries, options=SearchOptions(k=k, **options), threads=self._threads)
        return [[hit.id for hit in hits] for hits in found]

    def scored(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[tuple[str, float]]]:
        """Ids and scores of a batch."""
        found = self._index.search_vectors(queries, options=SearchOptions(k=k, **options), threads=self._threads)
        return [[(hit.id, hit.score) for hit in hits] for hits in found]
