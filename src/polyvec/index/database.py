"""One connection to an SQLite file: pinned to the state of one moment to read, or with durable transactions to write.

Knows only one table, of settings. Errors of SQLite come out as polyvec's own, with the file in the message.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.connection import Connection, clear_errors, connect, copy_database

META_SCHEMA = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Database:
    """Safe to share between threads: one statement at a time.

    Raises IndexCorruptError where the file is no database, StorageError for a full disk or a closed connection.
    """

    def __init__(self, connection: Connection, path: Path, *, pinned: bool) -> None:
        self.committing = (
            False  # whether a transaction that failed did so in its last step: it may come back after a crash
        )
        self._connection = connection
        self._pinned = pinned
        self._moves = 0  # times that a reader without locks has opened a newer state
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
            self._reopen_if_changed()
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
            self._check_in_place()
            self._connection.execute("BEGIN IMMEDIATE")
            self.committing = False
            try:
                yield
                self.committing = True
                self._connection.execute("COMMIT")
                self.committing = False
                if not self._connection.in_place():
                    self._connection.rescue()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def meta(self) -> dict[str, Any]:
        """Every setting of the index, decoded."""
        try:
            return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM meta")}
        except ValueError as error:
            raise IndexCorruptError(f"{self.path} is damaged: a setting in it is no JSON.") from error

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
        with self._lock, clear_errors(self.path):
            self._reopen_if_changed()
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            return version + (self._moves << 32)

    def copy_to(self, path: Path) -> None:
        """Write the state that this connection sees to a new file, durably."""
        with self._lock, clear_errors(path):
            copy_database(self._connection, path)
            self._connection.check_unchanged()

    def integrity(self) -> list[str]:
        """SQLite's own full check; an empty list is good news."""
        return [f"{self.path}: {line}" for (line,) in self._rows("PRAGMA integrity_check") if line != "ok"]

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, clear_errors(self.path):
            return self._connection.rows(query, parameters)

    def _reopen_if_changed(self) -> None:
        """Open the newest state for a reader without locks; any other connection sees it by itself."""
        if self._connection.changed():
            self._connection.close()
            self._connection = connect(self.path, write=False)
            self._moves += 1

    def _check_in_place(self) -> None:
        """Raise StorageError before writing to files that are no longer the ones readers see."""
        if not self._connection.in_place():
            self._connection.rescue()
            raise StorageError(
                f"The log of {self.path} was removed or replaced by another program while the index was open for writing. "
                "What was stored before is safe, nothing of this call was stored. Close the index and open it again."
            )
