"""xtr-warp-rs on the CPU, with the settings that it picks itself unless others are given."""

from __future__ import annotations

import importlib.metadata
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vectors import Collection
from xtr_warp import XTRWarp


def version() -> str:
    return importlib.metadata.version("xtr-warp-rs")


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    torch.set_num_threads(threads)
    tokens, offsets = collection.tokens, collection.offsets
    documents = [torch.from_numpy(tokens[a:b]) for a, b in itertools.pairwise(offsets)]
    XTRWarp(index=str(folder)).create(documents, device="cpu", nbits=nbits, show_progress=False)


class Opened:
    """An index that answers with positions."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._threads = threads
        self._index = XTRWarp(index=str(folder))
        self._index.load(device="cpu")

    def search(self, query: np.ndarray, k: int, **options: Any) -> list[int]:
        return self.batch([query], k, **options)[0]

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[int]]:
        given = [torch.from_numpy(query) for query in queries]
        found = self._index.search(given, top_k=k, num_threads=self._threads, show_progress=False, **options)
        return [[number for number, _ in one] for one in found]
