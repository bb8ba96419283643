"""The answers of all shards as a snapshot and a catalog: a search of these is a search of one index with all documents.

`search_snapshot` asks a snapshot for the best rows, a catalog for keywords and for texts. Here both are answered from lists that
the shards have sent; only what they have not sent is asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from polyvec.cluster.serving.question import Answer, Int64
from polyvec.errors import StorageError
from polyvec.index.catalog import listing
from polyvec.index.catalog.documents_table import StoredDocument, highest_bm25
from polyvec.index.catalog.field_counts import FieldSummary, summarized
from polyvec.index.catalog.word_counts import KeywordTotals
from polyvec.index.engine.options import SearchOptions
from polyvec.index.reader import Float, Scope, Scored, Snapshot
from polyvec.shards.keywords import best_first
from polyvec.shards.routing import by_shard

_PAGE = 200  # documents of one shard that are asked for at once


class Shards(Protocol):
    """The shards of one version, on other machines."""

    @property
    def documents(self) -> list[int]:
        """How many each of them has."""

    @property
    def totals(self) -> KeywordTotals:
        """What keyword search counts in all of them."""

    def each(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """A call to some of them at once.

        Args:
            method: A name in `polyvec.cluster.serving.answering.METHODS`.
            arguments: By the number of the shard.

        Returns:
            What each returns.

        Raises:
            ShardsMissingError: No machine answers for some.
        """


@dataclass
class MergedSnapshot(Snapshot):
    """Lists of rows by MaxSim as those of one index.

    Attributes:
        answers: Of the shards that were asked one query; the next search is of that query.
        row_vectors: Asks for the token vectors of a row.
    """

    answers: Sequence[Answer] = ()
    row_vectors: Callable[[int], npt.NDArray[np.float32]] | None = None

    def search_each(
        self, queries: Sequence[Float], options: SearchOptions, scope: Scope, *, threads: int | None = None
    ) -> list[Scored]:
        """The best rows by the scores that the shards gave; of some rows, what they gave to these. For the one query."""
        return [self._search(options, scope.rows) for _ in queries]

    def _search(self, options: SearchOptions, subset: Int64 | None) -> Scored:
        lists = [answer.late for answer in self.answers if answer.late is not None]
        if subset is not None:
            lists += [answer.others for answer in self.answers]
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in lists)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in lists)])
        if subset is not None:
            wanted = np.isin(rows, subset)
            rows, scores = rows[wanted], scores[wanted]
        best = np.lexsort((rows, -scores))[: options.k]
        return rows[best], scores[best]

    def vectors(self, row: int) -> npt.NDArray[np.float32]:
        """(t, d) float32: the stored token vectors of one row."""
        assert self.row_vectors is not None
        return self.row_vectors(row)


@dataclass
class MergedCatalog:
    """A `ReadableCatalog` of shards on other machines.

    Attributes:
        shards: They.
        answers: As `MergedSnapshot` has them.
        having: In how many documents of all shards each word of that query is.
    """

    shards: Shards
    answers: Sequence[Answer] = ()
    having: Sequence[int] = ()
    _sent: dict[int, StoredDocument] = field(init=False)

    def __post_init__(self) -> None:
        self._sent = {document.row: document for answer in self.answers for document in answer.documents}

    # -- for a search ------------------------------------------------------------------------------------------------------

    def search_keywords(
        self, query: str, k: int, *, subset: Int64 | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, npt.NDArray[np.float64]]:
        """The k best rows by BM25 that the shards found, then those of `scored` that have a word of the query."""
        parts = [answer.keyword for answer in self.answers if answer.keyword is not None]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        rows, scores = np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])
        order = np.argsort(rows, kind="stable")
        return best_first(rows[order], scores[order], k, scored)

    def keyword_bound(self, query: str) -> float:
        """An upper bound of BM25 for a query."""
        return highest_bm25(self.shards.totals.documents, self.having)

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """The documents of the given rows, by row; those that did not come with an answer are asked for."""
        found: dict[int, StoredDocument] = {}
        wanted: dict[int, list[int]] = {}
        for row in rows:
            if row in self._sent:
                found[row] = self._sent[row]
            else:
                wanted.setdefault(row % self._count, []).append(row)
        if not wanted:
            return found
        for some in self.shards.each("documents", {number: (part,) for number, part in wanted.items()}).values():
            found.update(some)
        return found

    # -- for reading -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(self.shards.documents)

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The rows of the ids that are stored."""
        parts = {number: (part,) for number, part in enumerate(by_shard(ids, self._count)) if part}
        return {id_: row for found in self.shards.each("rows_of", parts).values() for id_, row in found.items()}

    def rows_where(self, condition: Mapping[str, Any]) -> Int64:
        """The rows whose metadata satisfies a filter, ascending."""
        return np.sort(np.concatenate(list(self._all("rows_where", condition))))

    def all_documents(self) -> Iterator[StoredDocument]:
        """Refused: in the order of adding, documents are listed where they were published from."""
        raise StorageError(
            "A cluster does not list documents in the order of adding. Use scan(), which goes by their ids."
        )

    def documents_after(self, last: str, condition: Mapping[str, Any] | None) -> Iterator[StoredDocument]:
        """Live documents whose ids come after `last`, ascending by id, a page of each shard at a time."""
        return heapq.merge(*(self._pages(n, last, condition) for n in range(self._count)), key=attrgetter("id"))

    def summarized_fields(self, limit: int) -> dict[str, FieldSummary]:
        """What the metadata of live documents holds, by field, as `Catalog.summarized_fields` has it."""
        total, most = len(self), listing.MOST_SAMPLED
        if total <= most:
            return summarized(chain.from_iterable(self._all("sampled_metadata", most)), limit=limit)
        shares = {n: (most * count // total,) for n, count in enumerate(self.shards.documents) if count}
        samples = self.shards.each("sampled_metadata", shares).values()
        return summarized(chain.from_iterable(samples), limit=limit, total=total)

    @property
    def _count(self) -> int:
        return len(self.shards.documents)

    def _all(self, method: str, *arguments: Any) -> Iterator[Any]:
        return iter(self.shards.each(method, dict.fromkeys(range(self._count), arguments)).values())

    def _pages(self, number: int, last: str, condition: Mapping[str, Any] | None) -> Iterator[StoredDocument]:
        while True:
            page = self.shards.each("documents_after", {number: (last, condition, _PAGE)})[number]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].id
