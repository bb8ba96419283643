"""One writer at a time: a lock file that names who holds it, released by the system when that process ends."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from polyvec.errors import IndexLockedError, StorageError
from polyvec.index.forks import ForkAware, forks_held_off, notice_fork, watch_forks

LOCK_FILE = "writer.lock"

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, 4096, os.SEEK_SET)  # past the name, so that others can still read it
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 4096, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _unlock_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        _unlock(descriptor)


def _since(descriptor: int) -> float | None:
    """When the process began to write whose name is still in the file because it was killed; None without such a name."""
    text = os.read(descriptor, 200).decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text.rpartition(" since ")[2].strip()).timestamp()
    return None


class WriterLock(ForkAware):
    """Held from creation to close(), by this process alone: a forked child does not hold it.

    Raises IndexLockedError naming the holder when somebody else writes.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        self._path = folder / LOCK_FILE
        self.killed_since = 0.0
        watch_forks(self)
        try:
            self._take(folder)
        except BaseException:  # an interrupt too, which may come when the lock is held already
            self.close()
            raise

    def _take(self, folder: Path) -> None:
        with forks_held_off():  # a child must know of each descriptor that it inherits
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise StorageError(
                    f"Cannot write to {folder}: {error.strerror}. Check the folder's permissions."
                ) from error
        try:
            _try_lock(self._descriptor)
        except OSError as error:
            holder = (
                os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip() if hasattr(os, "pread") else ""
            )
            self.after_fork_in_child()  # the name in the file is the holder's and stays
            raise IndexLockedError(
                f"{folder} is being written by {holder or 'another process'}. Wait until it is done, or stop it."
            ) from error
        moment = datetime.now(timezone.utc)
        now = moment.isoformat(timespec="seconds")
        self.killed_since = _since(self._descriptor) or moment.timestamp()  # who failed before, or this process itself
        with contextlib.suppress(OSError):  # a full disk: the name is a courtesy, the lock is held without it
            os.truncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode())

    @property
    def held(self) -> bool:
        """Whether nobody else can take it: it has not been closed, and the file at its path is still the one that is locked."""
        if self._descriptor is None:
            return False
        try:
            own, there = os.fstat(self._descriptor), os.stat(self._path)
        except OSError:
            return False
        return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Release the lock, whatever processes have been forked from this one; safe to call twice."""
        notice_fork()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.ExitStack() as last:  # each of them, whatever becomes of the others
                last.callback(os.close, descriptor)
                last.callback(_unlock_quietly, descriptor)
                with contextlib.suppress(OSError):
                    os.truncate(descriptor, 0)

    def after_fork_in_child(self) -> None:
        """Close the file without unlocking it: the parent process goes on holding the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        """An interrupt can come between taking the lock and keeping the object that holds it."""
        if self._descriptor is not None:
            self.close()

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
