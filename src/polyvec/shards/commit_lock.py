"""So that readers see the shards of one moment: a writer commits to all of them while nobody opens any.

A lock of the operating system on a file, held for moments, and released by itself when a process ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyvec.errors import StorageError

COMMIT_LOCK_FILE = "commit.lock"

if sys.platform == "win32":

    def _lock(descriptor: int, *, alone: bool) -> None:
        """No such locks there: a reader may see one shard before and another after a commit that is under way."""

    def _release(descriptor: int) -> None:
        os.close(descriptor)

else:
    import fcntl

    def _lock(descriptor: int, *, alone: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def _release(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the file open too
        os.close(descriptor)


class CommitLock:
    """Shared by readers while they open shards, held alone by a writer while it commits. Safe for threads and forks.

    Args:
        folder: Of the shards.
    """

    def __init__(self, folder: Path) -> None:
        self._path = os.fspath(folder / COMMIT_LOCK_FILE)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """No commit begins inside. Where the file cannot be opened, as on a disk that nobody writes, nothing is held."""
        descriptor = -1
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            if descriptor >= 0:
                with contextlib.suppress(OSError):  # a file system without locks
                    _lock(descriptor, alone=False)
            yield
        finally:
            if descriptor >= 0:
                _release(descriptor)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Nobody opens a shard inside.

        Raises:
            StorageError: The file cannot be made.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise StorageError(
                f"Cannot write {self._path}: {error.strerror}. Check the folder's permissions."
            ) from error
        try:
            with contextlib.suppress(OSError):
                _lock(descriptor, alone=True)
            yield
        finally:
            _release(descriptor)
