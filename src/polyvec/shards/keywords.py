"""BM25 over several catalogs, with the statistics of all of them: what FTS5's bm25() computes of one that holds everything.

score = sum over words of idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean length)), with f, how often the word is in the
document. The idf is of all documents, and so is the mean length. Operations are in FTS5's order, so that equal documents get
equal scores, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.catalog import Catalog
from polyvec.index.catalog.documents_table import K1, highest_bm25, idf
from polyvec.index.catalog.keywords import Term, query_terms
from polyvec.index.catalog.word_counts import Counted, KeywordTotals

_B = 0.75  # of FTS5's bm25()

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


class SharedKeywords:
    """Keyword search in one state of all shards.

    Args:
        catalogs: Of the shards, each pinned to that state.
    """

    def __init__(self, catalogs: Sequence[Catalog]) -> None:
        self._catalogs = catalogs
        self._known_totals: KeywordTotals | None = None
        self._last: dict[Term, int] = {}  # documents that have each word of the last query

    def search(
        self, query: str, k: int, *, subset: Int64 | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, Float64]:
        """The k best rows by BM25 and their scores, best first, ties by row; then those of `scored` that have a word of the query.

        Args:
            query: As it was typed.
            k: Rows to find.
            subset: Rows to choose from, ascending; None for all.
            scored: Rows of the subset whose scores are wanted in any case.
        """
        return best_first(*self._scored(query_terms(query), subset), k, scored)

    def bound(self, query: str) -> float:
        """An upper bound of BM25 for a query, as one catalog with all documents has it."""
        last = self._last
        having = (last[term] if term in last else self._documents_with(term) for term in query_terms(query))
        return highest_bm25(self._totals().documents, having)

    def _scored(self, terms: Sequence[Term], subset: Int64 | None) -> tuple[Int64, Float64]:
        """The rows of all shards that have one of the words, ascending, and their scores."""
        found = [catalog.word_counts(terms) for catalog in self._catalogs]
        having = np.sum([one.having for one in found], axis=0).tolist()
        self._last = dict(zip(terms, having, strict=True))
        if not any(having):
            return np.empty(0, np.int64), np.empty(0, np.float64)
        totals = self._totals()
        weights = [idf(totals.documents, count) for count in having]
        return keyword_scores(found, weights, totals, self._lengths, subset)

    def _lengths(self, rows: Int64) -> Float64:
        """(n,) float64: tokens of each of these documents."""
        lengths, shard = np.empty(len(rows), np.float64), rows % len(self._catalogs)
        for number, catalog in enumerate(self._catalogs):
            own = np.flatnonzero(shard == number)
            if len(own):
                lengths[own] = catalog.keyword_lengths(rows[own])
        return lengths

    def _documents_with(self, term: Term) -> int:
        return sum(catalog.documents_with(term) for catalog in self._catalogs)

    def _totals(self) -> KeywordTotals:
        if self._known_totals is None:
            totals = [catalog.keyword_totals() for catalog in self._catalogs]
            self._known_totals = KeywordTotals(sum(t.documents for t in totals), sum(t.tokens for t in totals))
        return self._known_totals


def keyword_scores(
    found: Sequence[Counted],
    weights: Sequence[float],
    totals: KeywordTotals,
    lengths: Callable[[Int64], Int64 | Float64],
    subset: Int64 | None,
) -> tuple[Int64, Float64]:
    """The documents of one shard, or of several, that have a word of a query.

    Args:
        found: Of each shard, the documents that have each word.
        weights: The idf of each word, of all documents.
        totals: Of all documents.
        lengths: The tokens of each of these rows, which are ascending.
        subset: Rows to choose from, ascending; None for all.

    Returns:
        (n,) int64 rows, ascending, and (n,) float64 scores.
    """
    at, counts = np.concatenate([one.rows for one in found]), np.concatenate([one.counts for one in found])
    weight = np.concatenate([np.repeat(np.array(weights), one.having) for one in found])
    if subset is not None:
        inside = np.isin(at, subset)
        at, counts, weight = at[inside], counts[inside], weight[inside]
    if not len(at):
        return np.empty(0, np.int64), np.empty(0, np.float64)
    rows = np.sort(at, kind="stable")
    rows = rows[np.concatenate(([True], rows[1:] != rows[:-1]))]
    place, frequency = np.searchsorted(rows, at), counts.astype(np.float64)
    mean = totals.tokens / totals.documents
    length_part = K1 * (1.0 - _B + _B * lengths(rows).astype(np.float64) / mean)
    parts = weight * ((frequency * (K1 + 1.0)) / (frequency + length_part[place]))
    # bincount adds one after another: the words of a document in the order of the query, as FTS5 does.
    return rows, np.bincount(place, parts, len(rows)).astype(np.float64, copy=False)


def best_first(rows: Int64, scores: Float64, k: int, scored: Collection[int]) -> tuple[Int64, Float64]:
    """The k best documents, best first, ties by row; then those of `scored`.

    Args:
        rows: (n,) int64, ascending.
        scores: (n,) float64.
        k: Documents to keep.
        scored: Rows that are kept in any case.

    Returns:
        Their rows and scores.
    """
    wanted = np.fromiter(scored, np.int64, len(scored))
    if k < len(rows):  # the others need not be put in order
        lowest = np.partition(scores, len(rows) - k)[len(rows) - k]
        some = np.flatnonzero((scores >= lowest) | np.isin(rows, wanted))
        rows, scores = rows[some], scores[some]
    order = np.argsort(-scores, kind="stable")
    rest = order[k:]
    kept = np.concatenate([order[:k], rest[np.isin(rows[rest], wanted)]])
    return rows[kept], scores[kept]
