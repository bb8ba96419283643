"""TACHIOM 0.4.0, token-aware clustering and product quantization: built and asked with its own defaults unless others are given.

Its clustering needs a centroid a rare token type, two a small and four an active one. Below that it takes plain k-means, and says
so on stderr: what ran is kept in `about.json`. One index has every vector in 32 bytes, whatever nbits is.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tachiom
from vectors import Collection

INDEX, ABOUT = "index.bin", "about.json"
NOTHING = np.iinfo(np.uint32).max  # what stands where fewer than k documents were found
FALLEN_BACK = "falling back to global k-means"


def version() -> str:
    return importlib.metadata.version("tachiom")


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    """`threads` is kept to by rayon, which reads it from the environment."""
    folder.mkdir(parents=True)
    with stderr_kept() as said:
        index = tachiom.Tachiom.build_from_arrays(
            collection.tokens.view(np.uint16),
            collection.token_ids.astype(np.uint32),
            np.diff(collection.offsets).astype(np.int32),
        )
    index.save(str(folder / INDEX))
    (folder / ABOUT).write_text(json.dumps({"clustering": clustering(said[0]), "centroids": index.n_centroids}))


def clustering(said: str) -> str:
    """Which clustering ran, by what the library wrote while it built."""
    return "plain k-means" if FALLEN_BACK in said else "token-aware"


@contextmanager
def stderr_kept() -> Iterator[list[str]]:
    """What native code writes to stderr meanwhile: the list's one text, once this is left. It is written on afterwards."""
    said: list[str] = []
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            said.append(kept.read().decode(errors="replace"))
            os.write(2, said[0].encode())


class Opened:
    """An index that answers with document numbers."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        self._index = tachiom.Tachiom.load(str(folder / INDEX))
        self._threads = threads
        self.about = json.loads((folder / ABOUT).read_text())

    def search(self, query: np.ndarray, k: int, **options: Any) -> list[int]:
        _, found = self._index.search(np.ascontiguousarray(query), k, **options)
        return [int(number) for number in found if number != NOTHING]

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[int]]:
        offsets = np.cumsum([0, *map(len, queries)]).astype(np.uint64)
        rows = np.ascontiguousarray(np.concatenate(queries))
        _, found = self._index.batch_search(
            rows, len(queries), k, offsets=offsets, num_threads=self._threads, **options
        )
        return [[int(number) for number in one if number != NOTHING] for one in found]
