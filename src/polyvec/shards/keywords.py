"""BM25 over several catalogs, with the statistics of all of them: what FTS5's bm25() computes of one that holds everything.

score = sum over words of idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean length)), with f, how often the word is in the
document. The idf is of all documents, and so is the mean length. Operations are in FTS5's order, so that equal documents get
equal scores, to the bit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.catalog import Catalog
from polyvec.index.catalog.documents_table import K1, highest_bm25, idf
from polyvec.index.catalog.keywords import Term, query_terms
from polyvec.index.catalog.word_counts import KeywordTotals

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

    def search(
        self, query: str, k: int, *, subset: Sequence[Int64] | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, Float64]:
        """The k best rows by BM25 and their scores, best first, ties by row; then those of `scored` that have a word of the query.

        Args:
            query: As it was typed.
            k: Rows to find.
            subset: Rows of each shard to choose from, ascending; None for all.
            scored: Rows of the subset whose scores are wanted in any case.
        """
        terms = query_terms(query)
        places = [[catalog.word_counts(term) for term in terms] for catalog in self._catalogs]
        totals = self._totals()
        weights = [idf(totals.documents, sum(len(found[i][0]) for found in places)) for i in range(len(terms))]
        parts = []
        for number, (catalog, found) in enumerate(zip(self._catalogs, places, strict=True)):
            allowed = None if subset is None else subset[number]
            parts.append(keyword_scores(catalog, found, weights, totals, allowed))
        return best_first(parts, k, scored)

    def bound(self, query: str) -> float:
        """An upper bound of BM25 for a query, as one catalog with all documents has it."""
        return highest_bm25(self._totals().documents, [self._documents_with(term) for term in query_terms(query)])

    def _documents_with(self, term: Term) -> int:
        return sum(catalog.documents_with(term) for catalog in self._catalogs)

    def _totals(self) -> KeywordTotals:
        if self._known_totals is None:
            totals = [catalog.keyword_totals() for catalog in self._catalogs]
            self._known_totals = KeywordTotals(sum(t.documents for t in totals), sum(t.tokens for t in totals))
        return self._known_totals


def best_first(parts: Sequence[tuple[Int64, Float64]], k: int, scored: Collection[int]) -> tuple[Int64, Float64]:
    """Rows and scores of several shards as one list.

    Args:
        parts: Rows and scores of each shard.
        k: Rows to keep.
        scored: Rows that are kept in any case.

    Returns:
        The k best rows and their scores, best first, ties by row; then those of `scored`.
    """
    rows = np.concatenate([rows for rows, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    best = np.lexsort((rows, -scores))
    kept = best[:k]
    if scored:
        rest = best[k:]
        kept = np.concatenate([kept, rest[np.isin(rows[rest], np.array(list(scored), np.int64))]])
    return rows[kept], scores[kept]


def keyword_scores(
    catalog: Catalog,
    found: Sequence[tuple[Int64, Int64]],
    weights: Sequence[float],
    totals: KeywordTotals,
    allowed: Int64 | None,
) -> tuple[Int64, Float64]:
    """The rows of one shard that have a word of the query, ascending, and their scores.

    Args:
        catalog: Of the shard.
        found: Rows and counts of each word, as `word_counts` has them.
        weights: The idf of each word.
        totals: Of all shards.
        allowed: Rows to choose from, ascending; None for all.

    Returns:
        (n,) int64 rows and (n,) float64 scores.
    """
    rows = np.unique(np.concatenate([rows for rows, _ in found])) if found else np.empty(0, np.int64)
    if allowed is not None:
        rows = np.intersect1d(rows, allowed, assume_unique=True)
    if not len(rows):
        return rows, np.empty(0, np.float64)
    mean = totals.tokens / totals.documents
    length_part = K1 * (1.0 - _B + _B * catalog.keyword_lengths(rows).astype(np.float64) / mean)
    scores = np.zeros(len(rows), np.float64)
    for (having, counts), weight in zip(found, weights, strict=True):
        place = np.searchsorted(rows, having)
        inside = np.flatnonzero(rows[np.minimum(place, len(rows) - 1)] == having)
        at, frequency = place[inside], counts[inside].astype(np.float64)
        scores[at] += weight * ((frequency * (K1 + 1.0)) / (frequency + length_part[at]))
    return rows, scores
