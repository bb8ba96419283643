"""One SQLite connection: a call at a time, errors of SQLite as polyvec's own, and never carried over a fork.

Knows nothing about tables.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, InputError, PolyvecError, StorageError
from polyvec.index.catalog.sqlite_file import SQLiteFile, copy_database, open_file, replace_database
from polyvec.index.forks import ForkAware, forks_held_off, notice_fork, watch_forks

if sys.platform != "win32":
    import fcntl

Place = tuple[int, int]  # device and inode of a file

_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510  # bytes of a database file that SQLite locks while a connection is open


class Connection(ForkAware):
    """Safe to share between threads. Makes no transactions of its own.

    Only SQLite's own errors are translated, and only those of the statement that is run: what comes out of the caller's code
    is passed on as it is. Raises IndexCorruptError where the file is no database, StorageError for a full disk, after close()
    and in a forked child, InputError for a value that SQLite cannot store.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path, self._write = path, write
        self._calls = threading.RLock()  # held during each call of SQLite, and while a process forks
        self._waited = True  # whether a fork that is under way has waited for the last call
        self._raw: SQLiteFile | None = None
        self._why = "the index is closed. Open it again with Index.open"
        notice_fork()
        watch_forks(self)
        _let_go_of_inherited(path)
        with self._calls, clear_errors(path):
            self._raw = open_file(path, write=write)
            self.place = place_of(path)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run one statement; all rows of its result."""
        with self._calls:
            raw = self._open()
            try:
                return raw.rows(statement, parameters)
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                raise translated(error, self.path) from error

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        with self._calls:
            raw = self._open()
            try:
                raw.executemany(statement, rows)
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                raise translated(error, self.path) from error

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw is not None and self._raw.in_transaction

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        notice_fork()
        with self._calls:
            raw, self._raw = self._raw, None
            if raw is not None:
                raw.close()

    def _open(self) -> SQLiteFile:
        if self._raw is None:
            raise StorageError(f"{self.path}: {self._why}.")
        return self._raw

    # -- files beneath it -------------------------------------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether somebody has changed the files beneath a reader without locks."""
        with self._calls:
            return self._raw is not None and self._raw.changed()

    def in_place(self) -> bool:
        """Whether the files of a writer still are where they were opened."""
        with self._calls:
            return self._open().in_place()

    def rescue(self) -> None:
        """Save what a log that another program has removed still holds, in the database."""
        with self._calls, clear_errors(self.path):
            self._open().rescue()

    def copy_to(self, path: Path) -> None:
        """Write the state that this connection sees to a new file, durably."""
        with self._calls, clear_errors(path):
            raw = self._open()
            copy_database(raw, path)
            raw.check_unchanged()

    def replace_by(self, path: Path) -> None:
        """Make the state in another database file this one's, durably and in one transaction."""
        with self._calls, clear_errors(self.path):
            replace_database(self._open(), path)

    # -- forks -----------------------------------------------------------------------------------------------------------

    def before_fork(self, until: float) -> None:
        """Wait for a call under way."""
        self._waited = self._calls.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Let calls in again."""
        if self._waited:
            self._calls.release()

    def after_fork_in_child(self) -> None:
        """Hand the parent's connection to those that the child must never use, nor close by itself."""
        self._calls = threading.RLock()
        raw, self._raw = self._raw, None
        self._why = "this was begun before the process was forked. Begin it again in this process"
        if raw is not None:
            ctypes.pythonapi.Py_IncRef(
                ctypes.py_object(raw)
            )  # lives for ever: SQLite would roll back the parent's work
            closable = self._waited and not (self._write and raw.in_transaction)
            _inherited.append(_Inherited(raw, self.place, closable))


def place_of(path: str | Path) -> Place:
    """Which file lies at a path. Raises OSError where there is none."""
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


def translated(error: Exception, path: Path) -> PolyvecError:
    """An error of SQLite as ours, with the file in the message."""
    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)):
        return InputError(
            f"{path}: a value cannot be stored or searched: {error}. Expected text or numbers of 64 bits."
        )
    if isinstance(error, sqlite3.OperationalError):
        return StorageError(f"{path}: {error}. Check free space and write permission of the folder.")
    if isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)):
        return IndexCorruptError(f"{path} is damaged: {error}.")
    return StorageError(f"{path}: {error}.")


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours. Put it around our own statements only, never around code of a caller."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translated(error, path) from error


# -- connections of a parent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inherited:
    """A connection that a fork has copied into this process. closable: whether closing it changes nothing for the parent."""

    raw: SQLiteFile
    place: Place
    closable: bool


_inherited: list[_Inherited] = []  # of parents, not closed yet
_never_closed: set[Place] = set()  # files with a connection that cannot be closed here


def _let_go_of_inherited(path: Path) -> None:
    """Before a child opens a file: close what its parent had open, as far as that touches nothing of the parent's.

    SQLite shares its knowledge of file locks between all connections of a process to one file. With the parent's connections among
    them, it would believe that this process holds locks which it does not. A connection in the middle of writing cannot be closed
    here: rolling back would clear what the parent has written to the shared index of SQLite's log.
    """
    if _inherited:
        with forks_held_off():
            while _inherited:
                one = _inherited[-1]
                if one.closable:
                    _close_quietly(one)
                else:
                    _never_closed.add(one.place)
                _inherited.pop()
    if _never_closed:
        with suppress(OSError):
            if place_of(path) in _never_closed:
                raise StorageError(
                    f"{path}: this process was forked while its parent was writing this index, so it cannot be opened here. "
                    'Open it in a process of its own: multiprocessing with "spawn", or a new command.'
                )


def _close_quietly(one: _Inherited) -> None:
    """Close a parent's connection so that SQLite does not delete its log, as it does with the last connection."""
    if sys.version_info >= (3, 12):
        one.raw.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        one.raw.close_in_child()
    else:
        with _others_seem_connected(one.place):
            one.raw.close_in_child()


@contextmanager
def _others_seem_connected(place: Place) -> Iterator[None]:
    """Hold the lock that each connection to a database holds, in the way that SQLite in this process respects too (Linux)."""
    descriptor = None
    if hasattr(fcntl, "F_OFD_SETLKW"):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if place_of(Path("/proc/self/fd", name)) == place:
                    descriptor = os.open(f"/proc/self/fd/{name}", os.O_RDONLY)
                    lock = struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
                    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, lock)
                    break
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
