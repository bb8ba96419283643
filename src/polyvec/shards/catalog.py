"""The catalogs of all shards as one to read. A row says which of them has it; an id, which of them would."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog import listing
from polyvec.index.catalog.catalog import Catalog, StoredDocument
from polyvec.index.catalog.field_counts import FieldSummary, summarized
from polyvec.shards.keywords import SharedKeywords
from polyvec.shards.routing import by_shard

Int64 = npt.NDArray[np.int64]


class SharedCatalog:
    """A `ReadableCatalog` over those of the shards.

    Args:
        catalogs: In the order of the shards.
    """

    def __init__(self, catalogs: Sequence[Catalog]) -> None:
        self.catalogs = catalogs
        self._keywords = SharedKeywords(catalogs)

    def __len__(self) -> int:
        return sum(map(len, self.catalogs))

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The rows of the ids that are stored; the others are absent from the result."""
        found: dict[str, int] = {}
        for catalog, wanted in zip(self.catalogs, by_shard(ids, len(self.catalogs)), strict=True):
            if wanted:
                found.update(catalog.rows_of(wanted))
        return found

    def rows_where(self, condition: Mapping[str, Any]) -> Int64:
        """(n,) int64, ascending: rows whose metadata satisfies a filter.

        Raises:
            FilterError: The filter does not parse.
        """
        return np.sort(np.concatenate([catalog.rows_where(condition) for catalog in self.catalogs]))

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """The documents of the given rows, by row."""
        wanted: list[list[int]] = [[] for _ in self.catalogs]
        for row in rows:
            wanted[row % len(wanted)].append(row)
        found: dict[int, StoredDocument] = {}
        for catalog, some in zip(self.catalogs, wanted, strict=True):
            if some:
                found.update(catalog.documents(some))
        return found

    def all_documents(self) -> Iterator[StoredDocument]:
        """Every live document in the order of adding, streamed."""
        return heapq.merge(*(catalog.all_documents() for catalog in self.catalogs), key=attrgetter("row"))

    def documents_after(self, last: str, condition: Mapping[str, Any] | None) -> Iterator[StoredDocument]:
        """Live documents whose ids come after `last` in code-point order, ascending by id, streamed.

        Raises:
            FilterError: The filter does not parse.
        """
        parts = (catalog.documents_after(last, condition) for catalog in self.catalogs)
        return heapq.merge(*parts, key=attrgetter("id"))

    def summarized_fields(self, limit: int) -> dict[str, FieldSummary]:
        """What the metadata of live documents holds, by field, as `Catalog.summarized_fields` has it."""
        total, most = len(self), listing.MOST_SAMPLED
        if total <= most:
            return summarized(chain.from_iterable(c.sampled_metadata(most) for c in self.catalogs), limit=limit)
        shares = (catalog.sampled_metadata(most * len(catalog) // total) for catalog in self.catalogs if len(catalog))
        return summarized(chain.from_iterable(shares), limit=limit, total=total)

    def search_keywords(
        self, query: str, k: int, *, subset: Int64 | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, npt.NDArray[np.float64]]:
        """The k best rows by BM25 and their scores, best first, ties by row; then those of `scored` that have a word of the query.

        Statistics are those of all shards, so a score is the one that an index of all documents gives.
        """
        return self._keywords.search(query, k, subset=subset, scored=scored)

    def keyword_bound(self, query: str) -> float:
        """An upper bound of BM25 for a query."""
        return self._keywords.bound(query)
