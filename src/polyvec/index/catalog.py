"""The seat of truth of an index: one SQLite database whose transaction is the commit.

Holds ids, texts, metadata, the keyword index, the list of live segments, and which rows are deleted. A row is the internal number
of one stored version of a document: rows only grow, an update gives the document a new row, and each segment covers one
range of rows. Knows nothing about token vectors or models.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.errors import IndexCorruptError, IndexMissingError, StorageError
from polyvec.index.filters import compile_filter
from polyvec.index.keywords import match_expression, tokenize

APPLICATION_ID = 0x504F4C59  # "POLY", in the header of the database file
CATALOG_VERSION = 1
CATALOG_FILE = "catalog.sqlite"
_LAST_ROW = (1 << 63) - 1
_CHUNK = 500  # bound parameters a statement; SQLite's own limit was 999 for long

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    rows BLOB,                          -- int32 offsets from first_row, where compaction left holes
    n_documents INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    coded INTEGER NOT NULL              -- 1: codes of the codec that meta names · 0: fp16 vectors
);
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    n_tokens INTEGER NOT NULL,
    truncated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE deleted_rows (row INTEGER PRIMARY KEY);
CREATE VIRTUAL TABLE keywords USING fts5 (
    tokens, content = '', tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
);
"""


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """One live segment, as the catalog knows it."""

    segment: int
    file: str
    first_row: int
    last_row: int
    rows: npt.NDArray[np.int64] | None
    n_documents: int
    n_tokens: int
    size_bytes: int
    checksum: str
    coded: bool = False

    def row_numbers(self) -> npt.NDArray[np.int64]:
        """(n_documents,) int64: the row of each position of the segment, ascending."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.first_row, self.last_row + 1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One row of the documents table: text is None where only vectors were given."""

    row: int
    id: str
    text: str | None
    metadata: dict[str, Any]
    n_tokens: int
    truncated: bool


class Catalog:
    """One connection to the catalog: a pinned snapshot when opened to read, transactions when opened to write.

    Raises IndexMissingError where there is no index, IndexCorruptError where the file is not a catalog, StorageError for a
    newer version or a full disk.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, pinned: bool) -> None:
        self.committing = (
            False  # whether a transaction that failed did so in its last step: it may come back after a crash
        )
        self._connection = connection
        self._pinned = pinned
        self._lock = threading.RLock()
        self.path = path

    @classmethod
    def create(cls, folder: Path, meta: dict[str, Any]) -> Catalog:
        """Make the catalog of a new index in an existing, empty folder and return it open for writing."""
        path = folder / CATALOG_FILE
        connection = _connect(path, write=True)
        with _clear_errors(path):
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {CATALOG_VERSION}")
            catalog = cls(connection, path, pinned=False)
            catalog.set_meta(meta)
            connection.execute("COMMIT")
        return catalog

    @classmethod
    def open(cls, folder: Path, *, write: bool = False, pin: bool = True) -> Catalog:
        """Open the catalog of an index: pinned to the present state (read), or ready for transactions (write).

        pin: False for a reader that only asks for `changes`.
        """
        path = folder / CATALOG_FILE
        if not path.is_file():
            what = "there is no such folder" if not folder.exists() else f"it holds no {CATALOG_FILE}"
            raise IndexMissingError(
                f"{folder} is not a polyvec index: {what}. Make one with `polyvec index DOCS {folder}` or Index.create()."
            )
        connection = _connect(path, write=write)
        with _clear_errors(path):
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise IndexCorruptError(f"{path} is not a polyvec catalog (application id {application:#x}).")
        if version > CATALOG_VERSION:
            raise StorageError(
                f"{folder} was written by a newer polyvec (catalog version {version}, this one reads up to "
                f"{CATALOG_VERSION}). Upgrade polyvec."
            )
        catalog = cls(connection, path, pinned=pin and not write)
        if catalog._pinned:
            catalog.refresh()
        return catalog

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        with self._lock:
            self._connection.close()

    def refresh(self) -> None:
        """Move a pinned reader on to the newest committed state."""
        with self._lock, _clear_errors(self.path):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM meta").fetchone()  # the first read pins the snapshot

    @contextmanager
    def unpinned(self) -> Iterator[None]:
        """Let go of the snapshot, so that SQLite's log can be emptied, and pin the newest state afterwards."""
        with self._lock:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            try:
                yield
            finally:
                self.refresh()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside at once, durably, or nothing of it."""
        with self._lock, _clear_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            self.committing = False
            try:
                yield
                self.committing = True
                self._connection.execute("COMMIT")
                self.committing = False
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # -- meta ----------------------------------------------------------------------------------------------------------

    def meta(self) -> dict[str, Any]:
        """Every setting of the index, decoded."""
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def set_meta(self, values: dict[str, Any]) -> None:
        """Store settings; call inside a transaction."""
        self._connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()],
        )

    # -- documents -----------------------------------------------------------------------------------------------------

    def next_row(self) -> int:
        """The row that the next document will get; rows are never used twice."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'next_row'")[0][0])

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

    def delete_rows(self, rows: Iterable[int]) -> None:
        """Forget documents and remember that their rows are dead; call inside a transaction."""
        pairs = [(int(row),) for row in rows]
        gone = self.documents(row for (row,) in pairs)
        self._connection.executemany(  # an index without content is told what it forgets
            "INSERT INTO keywords (keywords, rowid, tokens) VALUES ('delete', ?, ?)",
            ((row, _keyword_text(d)) for row, d in gone.items() if d.text is not None),
        )
        self._connection.executemany("DELETE FROM documents WHERE row = ?", pairs)
        self._connection.executemany("INSERT INTO deleted_rows VALUES (?)", pairs)

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

    def counts(self) -> dict[str, int]:
        """Live documents, their tokens, how many were truncated, bytes of their texts, and how many rows are dead."""
        documents, tokens, truncated, text_bytes = self._rows(
            "SELECT count(*), coalesce(sum(n_tokens), 0), coalesce(sum(truncated), 0), "
            "coalesce(sum(length(CAST(text AS BLOB))), 0) FROM documents"
        )[0]
        deleted = self._rows("SELECT count(*) FROM deleted_rows")[0][0]
        return {
            "documents": documents,
            "tokens": tokens,
            "truncated": truncated,
            "text_bytes": text_bytes,
            "deleted_rows": deleted,
        }

    def token_counts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """(n,) int64: token vectors of each live document with a row from first to last, by row."""
        query = "SELECT n_tokens FROM documents WHERE row BETWEEN ? AND ? ORDER BY row"
        return np.array([n for (n,) in self._rows(query, (first, last))], dtype=np.int64)

    def languages(self) -> dict[str, int]:
        """How many live documents carry each `lang`, most first."""
        query = (
            "SELECT json_extract(metadata, '$.lang') AS lang, count(*) FROM documents "
            "WHERE lang IS NOT NULL GROUP BY lang ORDER BY count(*) DESC, lang"
        )
        return {str(lang): count for lang, count in self._rows(query)}

    # -- segments ------------------------------------------------------------------------------------------------------

    def segments(self) -> list[SegmentRecord]:
        """The live segments, in row order."""
        columns = "segment, file, first_row, last_row, rows, n_documents, n_tokens, size_bytes, checksum, coded"
        records = []
        for values in self._rows(f"SELECT {columns} FROM segments ORDER BY first_row"):
            record = dict(zip(columns.split(", "), values, strict=True))
            blob = record.pop("rows")
            rows = None
            if blob is not None:
                rows = np.frombuffer(blob, dtype="<i4").astype(np.int64) + record["first_row"]
            record["coded"] = bool(record["coded"])
            records.append(SegmentRecord(rows=rows, **record))
        return records

    def insert_segment(self, record: SegmentRecord) -> None:
        """Make a finished segment file live; call inside a transaction."""
        blob = None
        if record.rows is not None:
            blob = (record.rows - record.first_row).astype("<i4").tobytes()
        self._connection.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.segment,
                record.file,
                record.first_row,
                record.last_row,
                blob,
                record.n_documents,
                record.n_tokens,
                record.size_bytes,
                record.checksum,
                int(record.coded),
            ),
        )

    def remove_segments(self, segments: Iterable[SegmentRecord]) -> None:
        """Retire segments and the dead rows they held; call inside a transaction."""
        for record in segments:
            self._connection.execute("DELETE FROM segments WHERE segment = ?", (record.segment,))
            self._connection.execute(
                "DELETE FROM deleted_rows WHERE row BETWEEN ? AND ?", (record.first_row, record.last_row)
            )

    def deleted_rows(self, first: int = 0, last: int = _LAST_ROW) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: rows from first to last that segments still hold but no document owns."""
        query = "SELECT row FROM deleted_rows WHERE row BETWEEN ? AND ? ORDER BY row"
        return np.array([row for (row,) in self._rows(query, (first, last))], dtype=np.int64)

    def count_deleted(self, first: int, last: int) -> int:
        """How many rows from first to last are dead; costs by that number, not by the size of the index."""
        return int(self._rows("SELECT count(*) FROM deleted_rows WHERE row BETWEEN ? AND ?", (first, last))[0][0])

    def row_numbers(self) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: the rows of all live documents."""
        return np.array([row for (row,) in self._rows("SELECT row FROM documents ORDER BY row")], dtype=np.int64)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def vacuum(self) -> None:
        """Give free pages back to the disk and empty SQLite's log, so that deleted text is gone from both.

        Where another reader still looks at the log, it is emptied when the last such reader has gone on.
        """
        with self._lock, _clear_errors(self.path):
            self._connection.execute("INSERT INTO keywords (keywords) VALUES ('optimize')")  # drops deleted terms
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA busy_timeout = 100")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA busy_timeout = 30000")

    def log_bytes(self) -> int:
        """Size of SQLite's log; it grows while readers stay at states that it holds."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    def checkpoint(self) -> None:
        """Copy the log into the database as far as readers allow, without waiting for them."""
        with self._lock, _clear_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def changes(self) -> int:
        """A number that differs from the one before where another connection has committed since; not for pinned readers."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def integrity(self) -> list[str]:
        """SQLite's own full check; an empty list is good news."""
        return [f"{self.path}: {line}" for (line,) in self._rows("PRAGMA integrity_check") if line != "ok"]

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

    def set_deleted(self, rows: Iterable[int]) -> None:
        """Mark rows that no document owns as dead; call inside a transaction."""
        self._connection.executemany("INSERT OR IGNORE INTO deleted_rows VALUES (?)", [(int(row),) for row in rows])

    def unset_deleted(self, rows: Iterable[int]) -> None:
        """Take the mark off rows that documents own; call inside a transaction."""
        self._connection.executemany("DELETE FROM deleted_rows WHERE row = ?", [(int(row),) for row in rows])

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, _clear_errors(self.path):
            return self._connection.execute(query, parameters).fetchall()


def _keyword_text(document: StoredDocument) -> str:
    assert document.text is not None
    return " ".join(tokenize(Document(document.id, document.text, document.metadata).encoded_text))


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    with _clear_errors(path):
        if write or os.access(path.parent, os.W_OK):
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        else:  # a reader on a read-only disk: without a log there is nothing to wait for
            log = path.with_name(path.name + "-wal")
            mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
            uri = f"{path.resolve().as_uri()}?{mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file in the message."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StorageError(f"{path}: the index is closed ({error}).") from error
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path}: {error}. Check free space and write permission of the folder.") from error
    except sqlite3.DatabaseError as error:
        raise IndexCorruptError(f"{path} is damaged: {error}.") from error


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
