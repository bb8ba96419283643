"""How often words stand in documents, and how long documents are: what BM25 is computed from.

SQLite's own bm25() knows one catalog only. With these counts, several catalogs are ranked by the statistics of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.database import Database
from polyvec.index.catalog.keywords import Term

_AFTER_ALL = "\U0010ffff"  # no token holds a code point above it
_OPENED = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.word_places USING fts5vocab (main, keywords, instance)"

Int64 = npt.NDArray[np.int64]


class KeywordTotals(NamedTuple):
    """What the keyword index of one catalog holds.

    Attributes:
        documents: Documents with a text.
        tokens: Their tokens.
    """

    documents: int
    tokens: int


class WordCounts(Database):
    """Reads the keyword index word by word."""

    def keyword_totals(self) -> KeywordTotals:
        """How many documents and tokens keyword search counts."""
        rows = self._rows("SELECT block FROM keywords_data WHERE id = 1")
        numbers = list(_varints(bytes(rows[0][0]))) if rows else []
        return KeywordTotals(*numbers[:2]) if len(numbers) >= 2 else KeywordTotals(0, 0)

    def word_counts(self, term: Term) -> tuple[Int64, Int64]:
        """The documents that have a word.

        Args:
            term: Of a query.

        Returns:
            (n,) int64 rows, ascending, and (n,) int64: how often the word is in each of them.
        """
        with self._lock:
            self._connection.execute(_OPENED)
            if term.prefix:
                places = "SELECT doc FROM temp.word_places WHERE term >= ? AND term < ?"
                found = self._rows(places, (term.token, term.token + _AFTER_ALL))
            else:
                found = self._rows("SELECT doc FROM temp.word_places WHERE term = ?", (term.token,))
        rows, counts = np.unique(np.array([row for (row,) in found], np.int64), return_counts=True)
        return rows, counts.astype(np.int64)

    def keyword_lengths(self, rows: Int64) -> Int64:
        """(n,) int64: how many tokens keyword search counts in each of these documents.

        Args:
            rows: (n,) int64, ascending, of documents with a text.
        """
        query = "SELECT id, sz FROM keywords_docsize WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        found = {row: next(_varints(bytes(size)), 0) for row, size in self._rows(query, (json.dumps(rows.tolist()),))}
        return np.array([found[row] for row in rows.tolist()], np.int64)


def _varints(data: bytes) -> Iterator[int]:
    """SQLite's numbers of variable length: seven bits a byte, the highest first; all but the last byte have the top bit."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            yield value
            value = 0
