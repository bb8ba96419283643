"""LanceDB with one multivector column and its IVF_PQ index, as its documentation builds it for late interaction."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from vectors import Collection

ROWS = 2_000  # documents a batch


def version() -> str:
    return importlib.metadata.version("lancedb")


def build(folder: Path, collection: Collection, nbits: int, threads: int) -> None:
    """nbits is not among its settings: product quantization has dim / 16 bytes a token, its default."""
    dim = collection.tokens.shape[1]
    schema = pa.schema([("number", pa.int64()), ("vector", pa.list_(pa.list_(pa.float32(), dim)))])

    def batches() -> Iterator[pa.RecordBatch]:
        offsets = collection.offsets
        for first in range(0, len(offsets) - 1, ROWS):
            cuts = offsets[first : first + ROWS + 1]
            flat = pa.array(collection.tokens[cuts[0] : cuts[-1]].astype(np.float32).ravel())
            tokens = pa.FixedSizeListArray.from_arrays(flat, dim)
            lists = pa.ListArray.from_arrays(pa.array((cuts - cuts[0]).astype(np.int32)), tokens)
            numbers = pa.array(np.arange(first, first + len(cuts) - 1))
            yield pa.RecordBatch.from_arrays([numbers, lists], schema=schema)

    table = lancedb.connect(str(folder)).create_table("documents", data=batches(), schema=schema)
    table.create_index(metric="cosine", vector_column_name="vector")


class Opened:
    """A table that answers with document numbers."""

    def __init__(self, folder: Path, documents: int, threads: int) -> None:
        self._table = lancedb.connect(str(folder)).open_table("documents")

    def search(self, query: np.ndarray, k: int, **options: Any) -> list[int]:
        asked = self._table.search(query).select(["number"]).limit(k)
        for name, value in options.items():  # nprobes, refine_factor
            asked = getattr(asked, name)(value)
        found: list[int] = asked.to_arrow()["number"].to_pylist()
        return found

    def batch(self, queries: list[np.ndarray], k: int, **options: Any) -> list[list[int]]:
        return [self.search(query, k, **options) for query in queries]
