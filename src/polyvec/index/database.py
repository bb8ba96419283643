"""One connection to an SQLite file: pinned to the state of one moment to read, or with durable transactions to write.

Knows only one table, of settings. Errors of SQLite come out as polyvec's own, with the file in the message.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, StorageError

META_SCHEMA = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Database:
    """Safe to share between threads: one statement at a time.

    Raises IndexCorruptError where the file is no database, StorageError for a full disk or a closed connection.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, pinned: bool) -> None:
        self.committing = (
            False  # whether a transaction that failed did so in its last step: it may come back after a crash
        )
        self._connection = connection
        self._pinned = pinned
        self._lock = threading.RLock()
        self.path = path

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        with self._lock:
            self._connection.close()

    def refresh(self) -> None:
        """Move a pinned reader on to the newest committed state."""
        with self._lock, clear_errors(self.path):
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
        with self._lock, clear_errors(self.path):
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

    def meta(self) -> dict[str, Any]:
        """Every setting of the index, decoded."""
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def set_meta(self, values: dict[str, Any]) -> None:
        """Store settings; call inside a transaction."""
        self._connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()],
        )

    def log_bytes(self) -> int:
        """Size of SQLite's log; it grows while readers stay at states that it holds."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    def checkpoint(self) -> None:
        """Copy the log into the database as far as readers allow, without waiting for them."""
        with self._lock, clear_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def changes(self) -> int:
        """A number that differs from the one before where another connection has committed since; not for pinned readers."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def integrity(self) -> list[str]:
        """SQLite's own full check; an empty list is good news."""
        return [f"{self.path}: {line}" for (line,) in self._rows("PRAGMA integrity_check") if line != "ok"]

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, clear_errors(self.path):
            return self._connection.execute(query, parameters).fetchall()


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection without transactions of its own. write: durable commits, and deleted bytes overwritten."""
    with clear_errors(path):
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
def clear_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file in the message."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StorageError(f"{path}: the index is closed ({error}).") from error
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path}: {error}. Check free space and write permission of the folder.") from error
    except sqlite3.DatabaseError as error:
        raise IndexCorruptError(f"{path} is damaged: {error}.") from error
