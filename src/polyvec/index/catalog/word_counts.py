"""How often words stand in documents, and how long documents are: what BM25 is computed from.

SQLite's own bm25() knows one catalog only. With these counts, several catalogs are ranked by the statistics of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.database import Database
from polyvec.index.catalog.keywords import Term

_AFTER_ALL = "\U0010ffff"  # no token holds a code point above it
_OPENED = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.word_places USING fts5vocab (main, keywords, instance)"

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

    def word_counts(self, term: Term) -> tuple[Int64, Int64]:
        """The documents that have a word.

        Args:
            term: Of a query.

        Returns:
            (n,) int64 rows, ascending, and (n,) int64: how often the word is in each of them.
        """
        with self._lock:
            kept = self._remembered()
            if term in kept.words:
                return kept.words[term]
            found = self._word_counts(term)
            if self._pinned and _FREQUENT < len(found[0]) <= _MOST_KEPT:
                if kept.rows + len(found[0]) > _MOST_KEPT:
                    kept.words, kept.rows = {}, 0
                kept.words[term] = found
                kept.rows += len(found[0])
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

    def _word_counts(self, term: Term) -> tuple[Int64, Int64]:
        self._connection.execute(_OPENED)
        if term.prefix:
            places = "SELECT doc FROM temp.word_places WHERE term >= ? AND term < ?"
            found = self._rows(places, (term.token, term.token + _AFTER_ALL))
        else:
            found = self._rows("SELECT doc FROM temp.word_places WHERE term = ?", (term.token,))
        rows, counts = np.unique(np.fromiter(chain.from_iterable(found), np.int64, len(found)), return_counts=True)
        return rows, counts.astype(np.int64)

    def _remembered(self) -> _Kept:
        """What is known of the present state."""
        if self._kept is None or self._kept.state is not self._counted:
            self._kept = _Kept(self._counted)
        return self._kept


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
