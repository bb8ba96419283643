"""How an index's SQLite file is opened, so that it stays right beside other processes, copies of the folder and read-only disks.

SQLite's locks belong to a process and are dropped when that process closes any descriptor of the file, as copying the folder
does. Here a second lock, which belongs to a descriptor, keeps SQLite's log in place all the same. A reader that cannot use locks
at all checks after each query whether the files are still those it has opened.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.errors import IndexMissingError, StorageError

LOG, SHARED_MEMORY = "-wal", "-shm"  # the names of SQLite's log and of its index, after that of the database

# the bytes that SQLite locks, as its file format documents them
_DATABASE_IN_USE = (0x4000_0002, 510)
_MEMORY_IN_USE = (128, 1)

Stamp = tuple[int, int, int, int]  # device, inode, size, time of change


class SQLiteFile(sqlite3.Connection):
    """A connection that knows how it was opened; made by `open_file` alone."""

    path: Path
    writes = False
    private: tuple[Stamp | None, ...] | None = None  # the files as they were opened, where locks cannot be used
    _files: tuple[tuple[int, int] | None, ...] = ()
    _guard: _Guard | None = None

    def rows(self, query: str, parameters: Sequence[Any]) -> list[Any]:
        """All that a query gives. Raises StorageError where a reader without locks may have read of two states."""
        if self.private is None:
            return self.execute(query, parameters).fetchall()
        try:
            found = self.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError:
            self.check_unchanged()
            raise
        self.check_unchanged()
        return found

    def changed(self) -> bool:
        """Whether somebody has changed the files beneath a reader without locks."""
        return self.private is not None and self.private != _stamps(self.path)

    def check_unchanged(self) -> None:
        """Raise StorageError where what was just read may be of two states."""
        if self.changed():
            raise StorageError(
                f"{self.path}: a writer has changed the index while it was read from a folder without write permission. "
                "Call refresh() or open it again; auto_refresh=True does so by itself."
            )

    def in_place(self) -> bool:
        """Whether the files of a writer still are where they were opened: not removed, not replaced."""
        return not self._files or self._files == _identities(self.path)

    def rescue(self) -> None:
        """Save what a log that another program has removed still holds: in the database, where the next reader finds it.

        Raises IndexMissingError where the database itself was moved or deleted, StorageError where it was replaced.
        """
        database, log, _ = _identities(self.path)
        if database is None:
            raise IndexMissingError(
                f"{self.path}: the index that was opened here has been moved or deleted. Open it where it is now."
            )
        if database != self._files[0]:
            raise StorageError(
                f"{self.path} was moved, removed or replaced while the index was open for writing. Nothing of this call is "
                "stored there. Close the index and open it again."
            )
        if log == self._files[1]:
            return
        _, frames, copied = self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames != copied:  # an older state is being read: a copy of the newest takes the database's place
            _put_in_place(self, self.path)

    def close(self) -> None:
        """Copy the log into the database as far as readers allow, and leave the log where it is."""
        guard, self._guard = self._guard, None
        if guard is None:
            super().close()
            return
        try:
            if self.writes and not self.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the log holds what could not be copied
                    self.execute("PRAGMA busy_timeout = 0")
                    self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            super().close()
        finally:
            guard.leave()

    def close_in_child(self) -> None:
        """Close what a fork has copied into this process, and leave the files as they are: they are the parent's."""
        self._guard = None
        super().close()

    def __del__(self) -> None:
        if self._guard is not None:
            with contextlib.suppress(sqlite3.Error):
                self.close()


def open_file(path: Path, *, write: bool) -> SQLiteFile:
    """A connection that begins no transactions by itself; with `write`, commits are durable and deleted bytes are overwritten."""
    if write:
        connection = _open(path, str(path))
        connection.writes = True
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the log is there from now on
        connection._files = _identities(path)
        _protect(connection)
        return connection
    try:
        connection = _open(path, _uri(path, "mode=ro"))
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:  # beside a log that nobody may write, there are no locks
        return _without_locks(path)
    _protect(connection)
    return connection


def copy_database(source: sqlite3.Connection, path: Path) -> None:
    """Write the state that a connection sees to a new file, durably. In one step; others go on reading and writing."""
    target = sqlite3.connect(path, isolation_level=None)
    try:
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
    finally:
        target.close()
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def replace_database(target: sqlite3.Connection, path: Path) -> None:
    """Make the state in another file the state of a connection's, in one transaction; readers keep theirs until they move on."""
    source = sqlite3.connect(path, isolation_level=None)
    try:
        source.backup(target)
    finally:
        source.close()


def _put_in_place(source: sqlite3.Connection, path: Path) -> None:
    aside = _beside(path, ".saved")
    aside.unlink(missing_ok=True)
    copy_database(source, aside)
    for ending in (LOG, SHARED_MEMORY):
        _beside(path, ending).unlink(missing_ok=True)
    os.replace(aside, path)


def _open(path: Path, database: str) -> SQLiteFile:
    connection = sqlite3.connect(
        database, uri=database.startswith("file:"), timeout=30, isolation_level=None, check_same_thread=False,
        factory=SQLiteFile,
    )  # fmt: skip
    connection.path = path
    return connection


def _without_locks(path: Path) -> SQLiteFile:
    """A reader in a folder where it may create nothing. What it reads is right while the files stay as they are."""
    before = _stamps(path)
    log = before[1]
    if log is not None and log[2]:  # its index is kept in memory, as there is no file for it
        connection = _open(path, _uri(path, "mode=ro&vfs=unix-none"))
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    else:
        connection = _open(path, _uri(path, "mode=ro&immutable=1"))
    connection.private = before
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    connection.check_unchanged()
    return connection


def _uri(path: Path, options: str) -> str:
    return f"{Path(os.path.abspath(path)).as_uri()}?{options}"


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _stamps(path: Path) -> tuple[Stamp | None, ...]:
    """Database and log as they are now. A log that holds nothing is the same as none."""
    found: list[Stamp | None] = []
    for file in (path, _beside(path, LOG)):
        try:
            status = os.stat(file)
        except OSError:
            found.append(None)
            continue
        known = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        found.append(known if status.st_size or file == path else None)
    return tuple(found)


def _identities(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Which files database, log and its index are."""
    name = os.fspath(path)  # names are joined as text, as paths are slow to make and every transaction asks twice
    return _identity(name), _identity(name + LOG), _identity(name + SHARED_MEMORY)


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass
class _Guard:
    """Locks that no copying drops, held while any connection of this process to one file is open.

    Its descriptors are closed after the last such connection: closing them earlier would drop SQLite's own locks.
    """

    key: tuple[int, int]
    descriptors: list[int]
    users: int = 0

    def leave(self) -> None:
        """Say that a connection was closed."""
        with _guards_lock():
            self.users -= 1
            if self.users:
                return
            if _guards.get(self.key) is self:
                del _guards[self.key]
            for descriptor in self.descriptors:
                os.close(descriptor)
            self.descriptors = []


# A forked child keeps the descriptors of its parent: closing them would drop the locks of connections that it opens itself.
_guards: dict[tuple[int, int], _Guard] = {}
_locks: dict[int, threading.RLock] = {}  # one a process: another thread may hold the parent's when a child is forked


def _guards_lock() -> threading.RLock:
    return _locks.setdefault(os.getpid(), threading.RLock())


def _protect(connection: SQLiteFile) -> None:
    """Count a connection that has just read, and hold the second locks for it."""
    key = _identity(connection.path)
    if key is None:
        return
    with _guards_lock():
        guard = _guards.get(key)
        if guard is None:
            guard = _guards[key] = _Guard(key, [])
            for ending, (start, length) in (("", _DATABASE_IN_USE), (SHARED_MEMORY, _MEMORY_IN_USE)):
                with contextlib.suppress(OSError):  # a file system without such locks: SQLite's own have to do
                    descriptor = os.open(_beside(connection.path, ending), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                    guard.descriptors.append(descriptor)
                    _share_bytes(descriptor, start, length)
        guard.users += 1
        connection._guard = guard


if sys.platform == "linux":
    import fcntl

    _FLOCK = struct.Struct("hhqqixxxx")  # type, whence, start, length, process

    def _share_bytes(descriptor: int, start: int, length: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, length, 0))

else:

    def _share_bytes(descriptor: int, start: int, length: int) -> None:
        """Elsewhere, readers that never write and a writer that leaves its log in place have to do."""
