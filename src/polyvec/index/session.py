"""What one process has open of an index: the state that it reads, and its writer once it has written.

Every read passes `current`, every change passes `writing`: here alone it is checked whether the index is closed, forked, moved, or
being changed by the same thread. Knows
nothing about models and hits.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from polyvec.errors import IndexLockedError, PolyvecError
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.copying import copy_index
from polyvec.index.forks import ForkAware, notice_fork, watch_forks, watched_by_type
from polyvec.index.place import check_place
from polyvec.index.recovery.checking import index_facts, problems_of
from polyvec.index.views import View, Views
from polyvec.index.writing.writer import Writer

log = logging.getLogger(__name__)

_LOG_BYTES = 16 << 20  # of SQLite's log, from which on it is emptied when nobody reads an older state


class Session(ForkAware):
    """Safe to share between threads: reads go side by side, changes one after another.

    A forked child reads the newest state of the moment of the fork through a connection of its own, and is another writer.
    Raises IndexMissingError, IndexCorruptError, StorageError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # held while writing
        self._changing: int | None = None  # the thread that writes, while the lock is held
        self._writer: Writer | None = None
        self.loading = threading.Lock()  # held while the model of the index is loaded
        self.views = Views(path)
        self._place = self.views.view.catalog.place
        watch_forks(self)

    @property
    def settings(self) -> IndexSettings:
        """What the catalog says of the index in the state that is read; there even after close()."""
        return self.views.view.settings

    # -- reading -----------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def current(self) -> Iterator[View]:
        """The state to read, kept open: it includes what this process wrote, and after `follow` what any process wrote."""
        self.check_open()
        with self.views.current() as view:
            yield view

    def refresh(self) -> None:
        """Move on to the newest committed state. Reads under way keep theirs."""
        self.check_open()
        self.views.refresh()

    def follow(self) -> None:
        """From now on, every read sees the newest committed state."""
        self.views.follow()

    def check_open(self) -> None:
        """Raise StorageError after close()."""
        notice_fork()
        self.views.check_open()

    def check_place(self) -> None:
        """Raise StorageError where the index does not lie any more where it was opened."""
        check_place(self.path, self._place)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self.views.closed

    def facts(self) -> dict[str, Any]:
        """What `index_facts` says of the state that is read."""
        with self.current() as view:
            self.check_place()  # sizes are those of the files that lie there
            return index_facts(self.path, view)

    def problems(self) -> list[str]:
        """Read everything. Returns the problems found; empty if there are none."""
        with self.current() as view:
            return problems_of(view.catalog, view.snapshot)

    def copy_to(self, target: Path, *, hard_links: bool, progress: Callable[[int, int], None] | None) -> int:
        """`copy_index` of the newest committed state. Returns the size of the copy, in bytes."""
        with self.current():
            return copy_index(self.path, target, hard_links=hard_links, progress=progress)

    # -- writing -----------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """The writer, for this thread alone. The first call takes the lock, which is kept until close().

        Raises IndexLockedError where another process writes, or where this thread is in the middle of writing already.
        """
        self.check_open()
        self._check_not_changing("a change was asked for")
        with self._lock:
            self.check_open()
            try:
                self._changing = threading.get_ident()
                if self._writer is None:
                    self._writer = Writer(self.path, place=self._place, on_commit=self.views.outdate)
                yield self._writer
                self._restart_log(self._writer)
            finally:
                self._changing = None

    def vacuum(self) -> None:
        """`Catalog.vacuum`; call while `writing`."""
        assert self._writer is not None
        self.views.vacuum(self._writer.catalog)

    def close(self) -> None:
        """Close files and release the writer's lock, after a change by another thread has ended; safe to call twice.

        Raises IndexLockedError in the middle of a change by this thread.
        """
        notice_fork()
        self._check_not_changing("close() was called")
        with self._lock:
            self._close()

    def close_unused(self) -> None:
        """`close`, for an object that nobody holds any more; does nothing while a thread still writes."""
        notice_fork()
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    def end_writing(self) -> None:
        """Release the writer's lock when the process ends, unless a thread writes; reads go on."""
        if self._lock.acquire(blocking=False):
            try:
                self._close_writer()
            finally:
                self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the writer, which is the parent's; the objects that hold its files release them."""
        self._lock, self.loading = threading.Lock(), threading.Lock()
        self._changing = None
        self._writer = None

    def _close(self) -> None:
        with contextlib.ExitStack() as last:  # each of them, whatever becomes of the others
            last.callback(self._close_writer)  # after the reader: the log is emptied where nobody reads an older state
            self.views.close()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_not_changing(self, what: str) -> None:
        if self._lock.locked() and self._changing == threading.get_ident():
            raise IndexLockedError(
                f"{self.path}: {what} while this thread is adding to the same index: by the stream of documents, or by what "
                "is called meanwhile. Do it before or after; reading and searching are fine."
            )

    def _restart_log(self, writer: Writer) -> None:
        """Empty SQLite's log where it has grown long. What was written is stored, so a failure is only logged."""
        try:
            if writer.catalog.log_bytes() > _LOG_BYTES:
                self.views.checkpoint(writer.catalog)
        except (PolyvecError, OSError) as error:
            log.warning("%s: what was written is stored, but SQLite's log could not be emptied: %s", self.path, error)


def _at_exit() -> None:
    notice_fork()
    for session in watched_by_type(Session):
        assert isinstance(session, Session)
        session.end_writing()


atexit.register(_at_exit)
