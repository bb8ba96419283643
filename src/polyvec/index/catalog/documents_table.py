"""The documents of an index: ids, texts, metadata, and the words that keyword search finds them by.

Tables of the catalog. A row is the internal number of one stored version of a document. Knows nothing about token vectors and
segments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.index.catalog.database import Database
from polyvec.index.catalog.fields import stored_fields
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.catalog.keywords import Term, indexed_tokens, match_expression, query_terms, quoted

_CHUNK = 500  # bound parameters a statement; SQLite's own limit was 999 for long
_FEW_ROWS = 16
K1 = 1.2  # of FTS5's bm25()
_MANY_ROWS = 100
_SMALLEST_IDF = 1e-6  # of a word that half of the documents have

DOCUMENTS_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    n_tokens INTEGER NOT NULL,
    truncated INTEGER NOT NULL DEFAULT 0,
    fields TEXT
);
CREATE VIRTUAL TABLE keywords USING fts5 (tokens, content = '', tokenize = 'ascii')"""
# FTS5's tokenizer "ascii" splits at spaces alone and folds nothing in what `indexed_tokens` made, whatever SQLite's version.

Int64 = npt.NDArray[np.int64]


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
            "INSERT INTO documents (row, id, text, metadata, n_tokens, truncated, fields) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (d.row, d.id, d.text, _json(d.metadata), d.n_tokens, int(d.truncated), stored_fields(d.metadata))
                for d in documents
            ),
        )

    def set_metadata(self, metadata: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Give documents other metadata with the same title, from (row, metadata); call inside a transaction."""
        pairs = list(metadata)
        if pairs:
            self._connection.executemany(
                "UPDATE documents SET metadata = ?, fields = ? WHERE row = ?",
                ((_json(fields), stored_fields(fields), row) for row, fields in pairs),
            )

    def remove_documents(self, rows: Iterable[int]) -> None:
        """Delete documents and their words; call inside a transaction."""
        for chunk in _chunks(int(row) for row in rows):  # their texts are in memory together
            gone = self.documents(chunk)
            self._connection.executemany(  # an index without content needs to know what it forgets
                "INSERT INTO keywords (keywords, rowid, tokens) VALUES ('delete', ?, ?)",
                ((row, _keyword_text(d)) for row, d in gone.items() if d.text is not None),
            )
            self._connection.executemany("DELETE FROM documents WHERE row = ?", [(row,) for row in chunk])

    def rows_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The rows of the ids that are stored; the others are absent from the result."""
        found: dict[str, int] = {}
        for chunk in _chunks(ids):
            marks = ",".join("?" * len(chunk))
            found.update(self._rows(f"SELECT id, row FROM documents WHERE id IN ({marks})", chunk))
        return found

    def rows_where(self, condition: Mapping[str, Any]) -> Int64:
        """(n,) int64, ascending: rows whose metadata satisfies a filter.

        A filter too large for one statement is taken apart, and the rows of its parts are joined.

        Raises:
            FilterError: The filter does not parse.
        """
        sql, parameters = compile_filter(condition)
        if len(condition) > 1 and len(parameters) > _CHUNK:
            return self.rows_where({"$and": [{key: value} for key, value in condition.items()]})
        key = next(iter(condition), "")
        if key not in ("$and", "$or", "$not") or len(parameters) <= _CHUNK:
            rows = self._rows(f"SELECT row FROM documents WHERE {sql} ORDER BY row", parameters)
            return np.array([row for (row,) in rows], np.int64)
        value: Any = condition[key]
        if key == "$not":
            return np.setdiff1d(self.row_numbers(), self.rows_where(value))
        if len(value) == 1:
            return self.rows_where(value[0])
        half = len(value) // 2
        first, second = self.rows_where({key: value[:half]}), self.rows_where({key: value[half:]})
        return np.union1d(first, second) if key == "$or" else np.intersect1d(first, second)

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
        self, query: str, k: int, *, subset: Int64 | None = None, scored: Collection[int] = ()
    ) -> tuple[Int64, npt.NDArray[np.float64]]:
        """The k best rows by BM25 (FTS5: k1 1.2, b .75) and their scores, best first, ties by row.

        A query without words finds nothing. Statistics are those of the whole collection, so a score does not depend on the subset.

        Args:
            query: As it was typed.
            k: Rows to find.
            subset: Rows to choose from; None for all.
            scored: Rows of the subset whose scores are wanted in any case. They come after the k best, where a word of the query
                is in them.

        Returns:
            (n,) int64 rows and (n,) float64 scores.
        """
        expression = match_expression(query)
        if not expression:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        where, order, parameters = "", "", [expression]
        if (
            subset is not None
        ):  # SQLite would search every posting list for each row; +rowid makes it read the lists once
            where = f"AND {'+' if len(subset) > _FEW_ROWS else ''}rowid IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(subset.tolist()))
        if scored:
            order = "(rowid IN (SELECT value FROM json_each(?))) DESC,"
            parameters.append(json.dumps([int(row) for row in scored]))
        found = self._rows(
            f"SELECT rowid, -bm25(keywords) AS score FROM keywords WHERE keywords MATCH ? {where} "
            f"ORDER BY {order} score DESC, rowid LIMIT ?",
            [*parameters, k + len(scored)],
        )
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        extra = [pair for pair in found[k:] if pair[0] in scored]
        found = found[:k] + extra
        return np.array([row for row, _ in found], np.int64), np.array([score for _, score in found], np.float64)

    def keyword_bound(self, query: str) -> float:
        """An upper bound of BM25 for a query: the sum of idf * (k1 + 1) over its terms, those in no document included."""
        count = self._count("SELECT count(*) FROM keywords_docsize")
        return highest_bm25(count, [self.documents_with(term) for term in query_terms(query)])

    def documents_with(self, term: Term) -> int:
        """How many documents have a word."""
        return self._count("SELECT count(*) FROM keywords WHERE keywords MATCH ?", quoted(term))

    def _count(self, query: str, *parameters: str) -> int:
        """What a query counts. Many rows take long to count, so a pinned reader counts them once."""
        counted = self._counted  # of the state before, should another thread move on meanwhile
        if parameters in counted:
            return counted[parameters]
        found = int(self._rows(query, parameters)[0][0])
        if self._pinned and found > _MANY_ROWS:
            counted[parameters] = found
        return found

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


def idf(documents: int, having: int) -> float:
    """The weight of a word that `having` of so many documents have, as FTS5 computes it."""
    weight = math.log((documents - having + 0.5) / (having + 0.5))
    return weight if weight > 0 else _SMALLEST_IDF


def highest_bm25(documents: int, having: Iterable[int]) -> float:
    """An upper bound of BM25 for words that so many of the documents have."""
    bound = 0.0
    for count in having:
        bound += (K1 + 1) * idf(documents, count)
    return bound


def _keyword_text(document: StoredDocument) -> str:
    assert document.text is not None
    return " ".join(indexed_tokens(Document(document.id, document.text, document.metadata).encoded_text))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
