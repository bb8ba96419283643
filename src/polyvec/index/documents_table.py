"""The documents of an index: ids, texts, metadata, and the words that keyword search finds them by.

Tables of the catalog. A row is the internal number of one stored version of a document. Knows nothing about token vectors and
segments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.index.database import Database
from polyvec.index.filters import compile_filter
from polyvec.index.keywords import match_expression, tokenize

_CHUNK = 500  # bound parameters a statement; SQLite's own limit was 999 for long

DOCUMENTS_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    n_tokens INTEGER NOT NULL,
    truncated INTEGER NOT NULL DEFAULT 0
);
CREATE VIRTUAL TABLE keywords USING fts5 (
    tokens, content = '', tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
)"""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One row of the documents table: text is None where only vectors were given."""

    row: int
    id: str
    text: str | None
    metadata: dict[str, Any]
    n_tokens: int
    truncated: bool


class DocumentsTable(Database):
    """Documents by row and by id, as filters and keywords find them."""

    def insert_documents(self, documents: Iterable[StoredDocument]) -> None:
        """Add documents under their rows; call inside a transaction."""
        documents = list(documents)
        self._connection.executemany(
            "INSERT INTO keywords (rowid, tokens) VALUES (?, ?)",
            ((d.row, _keyword_text(d)) for d in documents if d.text is not None),
        )
        self._connection.executemany(
            "INSERT INTO documents (row, id, text, metadata, n_tokens, truncated) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (d.row, d.id, d.text, json.dumps(d.metadata, ensure_ascii=False), d.n_tokens, int(d.truncated))
                for d in documents
            ),
        )

    def remove_documents(self, rows: Iterable[int]) -> None:
        """Forget documents and their words; call inside a transaction."""
        pairs = [(int(row),) for row in rows]
        gone = self.documents(row for (row,) in pairs)
        self._connection.executemany(  # an index without content is told what it forgets
            "INSERT INTO keywords (keywords, rowid, tokens) VALUES ('delete', ?, ?)",
            ((row, _keyword_text(d)) for row, d in gone.items() if d.text is not None),
        )
        self._connection.executemany("DELETE FROM documents WHERE row = ?", pairs)

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The rows of the ids that are stored; the others are absent from the result."""
        found: dict[str, int] = {}
        for chunk in _chunks(ids):
            marks = ",".join("?" * len(chunk))
            found.update(self._rows(f"SELECT id, row FROM documents WHERE id IN ({marks})", chunk))
        return found

    def rows_where(self, condition: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: rows whose metadata satisfies a filter. Raises FilterError for one that does not parse."""
        sql, parameters = compile_filter(condition)
        return np.array(
            [row for (row,) in self._rows(f"SELECT row FROM documents WHERE {sql} ORDER BY row", parameters)], np.int64
        )

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """The documents of the given rows, by row."""
        found: dict[int, StoredDocument] = {}
        for chunk in _chunks(int(row) for row in rows):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT row, id, text, metadata, n_tokens, truncated FROM documents WHERE row IN ({marks})"
            for row, id_, text, metadata, n_tokens, truncated in self._rows(query, chunk):
                found[row] = StoredDocument(row, id_, text, json.loads(metadata), n_tokens, bool(truncated))
        return found

    def all_documents(self) -> Iterator[StoredDocument]:
        """Every live document in row order, streamed."""
        last = -1
        while rows := self._rows("SELECT row FROM documents WHERE row > ? ORDER BY row LIMIT ?", (last, _CHUNK)):
            found = self.documents(row for (row,) in rows)
            last = rows[-1][0]
            yield from (found[row] for (row,) in rows)

    def search_keywords(
        self, query: str, k: int, *, subset: npt.NDArray[np.int64] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The best rows by BM25 (FTS5: k1 1.2, b .75) and their scores, best first, ties by row.

        subset: rows to choose from, None for all. A query without words finds nothing.
        """
        expression = match_expression(query)
        if not expression:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        where = "" if subset is None else "AND rowid IN (SELECT value FROM json_each(?))"
        parameters = [expression, *([] if subset is None else [json.dumps(subset.tolist())]), k]
        found = self._rows(
            f"SELECT rowid, -bm25(keywords) AS score FROM keywords WHERE keywords MATCH ? {where} "
            "ORDER BY score DESC, rowid LIMIT ?",
            parameters,
        )
        return np.array([row for row, _ in found], np.int64), np.array([score for _, score in found], np.float64)

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def document_counts(self) -> dict[str, int]:
        """Live documents, their tokens, how many were truncated, and bytes of their texts."""
        documents, tokens, truncated, text_bytes = self._rows(
            "SELECT count(*), coalesce(sum(n_tokens), 0), coalesce(sum(truncated), 0), "
            "coalesce(sum(length(CAST(text AS BLOB))), 0) FROM documents"
        )[0]
        return {
            "documents": documents,
            "tokens": tokens,
            "truncated": truncated,
            "text_bytes": text_bytes,
        }

    def token_counts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """(n,) int64: token vectors of each live document with a row from first to last, by row."""
        query = "SELECT n_tokens FROM documents WHERE row BETWEEN ? AND ? ORDER BY row"
        return np.array([n for (n,) in self._rows(query, (first, last))], dtype=np.int64)

    def set_token_counts(self, counts: Iterable[tuple[int, int]]) -> None:
        """Put right how many token vectors documents have, from (count, row); call inside a transaction."""
        self._connection.executemany("UPDATE documents SET n_tokens = ? WHERE row = ?", list(counts))

    def languages(self) -> dict[str, int]:
        """How many live documents carry each `lang`, most first."""
        query = (
            "SELECT json_extract(metadata, '$.lang') AS lang, count(*) FROM documents "
            "WHERE lang IS NOT NULL GROUP BY lang ORDER BY count(*) DESC, lang"
        )
        return {str(lang): count for lang, count in self._rows(query)}

    def row_numbers(self) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: the rows of all live documents."""
        return np.array([row for (row,) in self._rows("SELECT row FROM documents ORDER BY row")], dtype=np.int64)

    def keyword_rows(self) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: the rows that keyword search can find."""
        return np.array([row for (row,) in self._rows("SELECT id FROM keywords_docsize ORDER BY id")], dtype=np.int64)

    def text_rows(self) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: the rows of live documents with a text."""
        rows = self._rows("SELECT row FROM documents WHERE text IS NOT NULL ORDER BY row")
        return np.array([row for (row,) in rows], dtype=np.int64)

    def rebuild_keywords(self) -> None:
        """Make the keyword index anew from the stored texts; call inside a transaction."""
        self._connection.execute("INSERT INTO keywords (keywords) VALUES ('delete-all')")
        texts = (document for document in self.all_documents() if document.text is not None)
        self._connection.executemany(
            "INSERT INTO keywords (rowid, tokens) VALUES (?, ?)", ((d.row, _keyword_text(d)) for d in texts)
        )


def _keyword_text(document: StoredDocument) -> str:
    assert document.text is not None
    return " ".join(tokenize(Document(document.id, document.text, document.metadata).encoded_text))


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
