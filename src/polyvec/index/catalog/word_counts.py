"""How often words stand in documents, and how long documents are: what BM25 is computed from.

SQLite's own bm25() knows one catalog only. With these counts, several catalogs are ranked by the statistics of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.database import Database
from polyvec.index.catalog.keywords import Term

_AFTER_ALL = "\U0010ffff"  # no token holds a code point above it
_OPENED = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.word_places USING fts5vocab (main, keywords, instance)"
_IS_WORD, _BEGINS = "term = value", f"term >= value AND term < value || '{_AFTER_ALL}'"

_MOST_IN_A_STRING = (
    90_000_000  # tokens: with rows of ten digits, their places still fit a string of SQLite, of 10^9 bytes
)
_FREQUENT = 100  # documents that have a word, from which on it is remembered
_MOST_KEPT = 1 << 21  # of those documents, all words together: 32 MB
_SHARE_OF_ALL = 8  # the lengths of all documents are read where those of an eighth are wanted

Int64 = npt.NDArray[np.int64]


class KeywordTotals(NamedTuple):
    """What the keyword index of one catalog holds.

    Attributes:
        documents: Documents with a text.
        tokens: Their tokens.
    """

    documents: int
    tokens: int


class Counted(NamedTuple):
    """The documents that have each of some words: those of the first, then those of the second, and so on.

    Attributes:
        rows: (n,) int64; of one word ascending.
        counts: (n,) int64: how often the word is in each of them.
        having: (words,) int64: how many of the n are of each word.
    """

    rows: Int64
    counts: Int64
    having: Int64


@dataclass
class _Kept:
    """What has been read of one state, to be used again.

    Attributes:
        state: The counts that the catalog keeps of that state; it has others after it has moved on.
        words: Documents of frequent words.
        rows: How many these are, together.
        lengths: Rows of all documents and their lengths, once many have been asked for.
    """

    state: object
    words: dict[Term, tuple[Int64, Int64]] = field(default_factory=dict)
    rows: int = 0
    lengths: tuple[Int64, Int64] | None = None


class WordCounts(Database):
    """Reads the keyword index word by word. A pinned reader remembers frequent words, within bounds."""

    _kept: _Kept | None = None

    def keyword_totals(self) -> KeywordTotals:
        """How many documents and tokens keyword search counts."""
        rows = self._rows("SELECT block FROM keywords_data WHERE id = 1")
        numbers = _numbers([bytes(rows[0][0])]) if rows else []
        return KeywordTotals(*numbers[:2]) if len(numbers) >= 2 else KeywordTotals(0, 0)

    def word_counts(self, terms: Sequence[Term]) -> Counted:
        """The documents that have each of some words, and how often.

        Args:
            terms: Of a query, each of them once.
        """
        with self._lock:
            kept = self._remembered()
            new = [term for term in terms if term not in kept.words]
            found = _counted(*self._places(new))
            ends = np.cumsum(found.having)
            parts = {
                term: (found.rows[end - count : end], found.counts[end - count : end])
                for term, end, count in zip(new, ends.tolist(), found.having.tolist(), strict=True)
                if count > _FREQUENT or len(new) < len(terms)
            }
            if len(new) < len(terms):
                each = [parts[term] if term in parts else kept.words[term] for term in terms]
                rows, counts = (
                    np.concatenate([rows for rows, _ in each]),
                    np.concatenate([counts for _, counts in each]),
                )
                found = Counted(rows, counts, np.array([len(rows) for rows, _ in each], np.int64))
            for term, (rows, counts) in parts.items():
                self._keep(kept, term, rows, counts)
            return found

    def keyword_lengths(self, rows: Int64) -> Int64:
        """(n,) int64: how many tokens keyword search counts in each of these documents.

        Args:
            rows: (n,) int64, ascending, of documents with a text.
        """
        with self._lock:
            kept = self._remembered()
            if kept.lengths is not None:
                known, lengths = kept.lengths
                return lengths[np.searchsorted(known, rows)]
            if self._pinned and _SHARE_OF_ALL * len(rows) >= self.keyword_totals().documents:
                kept.lengths = _lengths(self._rows("SELECT id, sz FROM keywords_docsize ORDER BY id"))
                return self.keyword_lengths(rows)
            query = "SELECT id, sz FROM keywords_docsize WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
            return _lengths(self._rows(query, (json.dumps(rows.tolist()),)))[1]

    def _places(self, terms: Sequence[Term]) -> tuple[Int64, Int64]:
        """(m,) int64: the rows of all places where each term stands, ascending, term by term; and how many each term has."""
        if not terms or not self.keyword_totals().documents:
            return np.empty(0, np.int64), np.zeros(len(terms), np.int64)
        self._connection.execute(_OPENED)
        if self.keyword_totals().tokens > _MOST_IN_A_STRING:
            parts = list(map(self._rows_with, terms))
            return np.concatenate(parts), np.array([len(part) for part in parts], np.int64)
        whole = self._joined_rows([term.token for term in terms if not term.prefix], _IS_WORD)
        begun = self._joined_rows([term.token for term in terms if term.prefix], _BEGINS)
        joined = [next(begun if term.prefix else whole) for term in terms]
        if not any(joined):
            return np.empty(0, np.int64), np.zeros(len(terms), np.int64)
        rows = np.fromstring(",".join(filter(None, joined)), np.int64, sep=",")
        counts = np.array([one.count(",") + 1 if one else 0 for one in joined], np.int64)
        for term, end, count in zip(terms, np.cumsum(counts).tolist(), counts.tolist(), strict=True):
            if term.prefix:  # of one word they are in order, of several not
                rows[end - count : end].sort()
        return rows, counts

    def _joined_rows(self, tokens: list[str], condition: str) -> Iterator[str | None]:
        """For each token the rows of its places in one string, which is read sooner than as many rows of a result."""
        if not tokens:
            return iter(())
        joined = f"(SELECT group_concat(doc) FROM temp.word_places WHERE {condition})"
        found = self._rows(f"SELECT {joined} FROM json_each(?) ORDER BY key", (json.dumps(tokens),))
        return (rows for (rows,) in found)

    def _rows_with(self, term: Term) -> Int64:
        """The rows of all places where a term stands, ascending, whatever their number."""
        condition = _BEGINS if term.prefix else _IS_WORD
        query = f"SELECT doc FROM (SELECT ? AS value) CROSS JOIN temp.word_places ON {condition}"
        found = self._rows(query, (term.token,))
        return np.sort(np.fromiter(chain.from_iterable(found), np.int64, len(found)))

    def _keep(self, kept: _Kept, term: Term, rows: Int64, counts: Int64) -> None:
        """Remember a frequent word of a state that stays."""
        if self._pinned and _FREQUENT < len(rows) <= _MOST_KEPT:
            if kept.rows + len(rows) > _MOST_KEPT:
                kept.words, kept.rows = {}, 0
            kept.words[term] = rows.copy(), counts.copy()  # not views of all words of a query
            kept.rows += len(rows)

    def _remembered(self) -> _Kept:
        """What is known of the present state."""
        if self._kept is None or self._kept.state is not self._counted:
            self._kept = _Kept(self._counted)
        return self._kept


def _counted(places: Int64, of_term: Int64) -> Counted:
    """Rows of places, `of_term` of them of each term -> every row once a term, and how often it was there."""
    if not len(places):
        return Counted(places, places, of_term)
    term = np.repeat(np.arange(len(of_term)), of_term)
    differs = (places[1:] != places[:-1]) | (term[1:] != term[:-1])
    first = np.concatenate(([0], np.flatnonzero(differs) + 1))
    counts = np.concatenate((first[1:], [len(places)])) - first
    return Counted(places[first], counts, np.bincount(term[first], minlength=len(of_term)))


def _lengths(stored: list[tuple[int, bytes]]) -> tuple[Int64, Int64]:
    """(n,) rows and (n,) lengths as FTS5 stores them, one number a document."""
    rows = np.array([row for row, _ in stored], np.int64)
    return rows, np.array(_numbers([bytes(size) for _, size in stored]), np.int64)


def _numbers(stored: Iterable[bytes]) -> list[int]:
    """SQLite's numbers of variable length: seven bits a byte, the highest first; all but the last byte have the top bit."""
    numbers, value = [], 0
    for byte in b"".join(stored):
        if byte < 0x80:
            numbers.append(value << 7 | byte)
            value = 0
        else:
            value = value << 7 | byte & 0x7F
    return numbers
