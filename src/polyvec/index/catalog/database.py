"""One connection to an SQLite file: pinned to the state of one moment to read, or with durable transactions to write.

Knows only one table, of settings.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, IndexLockedError, PolyvecError, StorageError
from polyvec.index.catalog.connection import Connection, Place

META_SCHEMA = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Database:
    """Safe to share between threads: one statement at a time.

    Raises what `Connection` raises.
    """

    def __init__(self, connection: Connection, path: Path, *, pinned: bool) -> None:
        # Whether the last transaction came as far as its commit: even where an error followed, it may be there, or come back after
        # a crash.
        self.may_be_committed = False
        self.on_commit: Callable[[], None] = _nothing  # called before each commit and again after it, whatever happens
        self._connection = connection
        self._pinned = pinned
        self._counted: dict[tuple[str, ...], int] = {}  # what was counted in the state that a reader is pinned to
        self._moves = 0  # times that a reader without locks has opened a newer state
        self._lock = threading.RLock()
        self._writing = False
        self.path = path

    @property
    def place(self) -> Place:
        """Which file this is, wherever it may be moved."""
        return self._connection.place

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._connection.close()

    def refresh(self) -> None:
        """Move a pinned reader on to the newest committed state."""
        with self._lock:
            self._counted = {}
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._reopen_if_changed()
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM meta")  # the first read pins the snapshot

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
        """Commit everything inside at once, durably, or nothing of it. What is raised inside comes out as it is.

        Raises IndexLockedError inside another transaction of this connection.
        """
        with self._lock:
            if self._writing:
                raise IndexLockedError(f"{self.path}: a transaction is under way already. Let it end first.")
            process = os.getpid()
            try:
                self._writing = True
                if self._connection.in_transaction:  # left by an interrupt that came while another was given up
                    self._connection.execute("ROLLBACK")
                self._check_in_place()
                self._connection.execute("BEGIN IMMEDIATE")
                self.may_be_committed = False
                yield
                self._commit()
                if not self._connection.in_place():
                    self._connection.rescue()
            except BaseException:
                if process == os.getpid() and self._connection.in_transaction:
                    with suppress(
                        PolyvecError
                    ):  # the first error is the one to hear of; the next transaction tries again
                        self._connection.execute("ROLLBACK")
                raise
            finally:
                self._writing = False

    def _commit(self) -> None:
        """Say that something changes before it does and after it has: an interrupt may come between."""
        self.may_be_committed = True
        self.on_commit()
        try:
            self._connection.execute("COMMIT")
        finally:
            self.on_commit()

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
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def changes(self) -> int:
        """A number that differs from the one before where another connection has committed since; not for pinned readers."""
        with self._lock:
            self._reopen_if_changed()
            return int(self._connection.execute("PRAGMA data_version")[0][0]) + (self._moves << 32)

    def copy_to(self, path: Path) -> None:
        """Write the state that this connection sees to a new file, durably."""
        with self._lock:
            self._connection.copy_to(path)

    def replace_by(self, path: Path) -> None:
        """Make the state in another catalog's file this one's, durably and in one transaction; not for pinned readers."""
        with self._lock:
            self._check_in_place()
            self._connection.replace_by(path)

    def integrity(self) -> list[str]:
        """SQLite's own full check. Returns the problems found; empty if there are none."""
        return [f"{self.path}: {line}" for (line,) in self._rows("PRAGMA integrity_check") if line != "ok"]

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters)

    def _reopen_if_changed(self) -> None:
        """Open the newest state for a reader without locks; any other connection sees it by itself."""
        if self._connection.changed():
            self._connection.close()
            self._connection = Connection(self.path, write=False)
            self._moves += 1

    def _check_in_place(self) -> None:
        """Raise StorageError before writing to files that are no longer the ones readers see."""
        if not self._connection.in_place():
            self._connection.rescue()
            raise StorageError(
                f"The log of {self.path} was removed or replaced by another program while the index was open for writing. "
                "What was stored before is safe, nothing of this call was stored. Close the index and open it again."
            )


def _nothing() -> None:
    pass
