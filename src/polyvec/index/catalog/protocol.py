"""What reading and searching ask of a catalog: of one index, or of several as one.

Types only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.documents_table import StoredDocument
from polyvec.index.catalog.field_counts import FieldSummary

Int64 = npt.NDArray[np.int64]


class ReadableCatalog(Protocol):
    """Documents by row and by id, as filters and keywords find them; see `Catalog` for what each call does."""

    def __len__(self) -> int: ...

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The rows of the ids that are stored."""

    def rows_where(self, condition: Mapping[str, Any]) -> Int64:
        """Rows whose metadata satisfies a filter, ascending."""

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """The documents of the given rows, by row."""

    def all_documents(self) -> Iterator[StoredDocument]:
        """Every live document in row order, streamed."""

    def documents_after(self, last: str, condition: Mapping[str, Any] | None) -> Iterator[StoredDocument]:
        """Live documents whose ids come after `last`, ascending by id, streamed."""

    def summarized_fields(self, limit: int) -> dict[str, FieldSummary]:
        """What the metadata of live documents holds, by field."""

    def search_keywords(
        self, query: str, k: int, *, subset: Int64 | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, npt.NDArray[np.float64]]:
        """The k best rows by BM25 and their scores, then those of `scored` that have a word of the query."""

    def keyword_bound(self, query: str) -> float:
        """An upper bound of BM25 for a query."""
