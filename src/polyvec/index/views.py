"""What readers see of an index: the committed state of one moment, kept open for those who use it while newer ones come.

A view joins the catalog and the segments of that moment. Knows nothing about models or hits, and writes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from polyvec.errors import IndexCorruptError, PolyvecError, StorageError
from polyvec.index.catalog.catalog import Catalog
from polyvec.index.catalog.protocol import ReadableCatalog
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.forks import ForkAware, watch_forks
from polyvec.index.place import check_place
from polyvec.index.reader import Snapshot

_MOST_ATTEMPTS = 50


class ReadableView(Protocol):
    """What reading and searching ask of a view: of one index, or of several as one."""

    @property
    def catalog(self) -> ReadableCatalog:
        """Documents of that moment."""

    @property
    def snapshot(self) -> Snapshot:
        """Their token vectors."""

    @property
    def settings(self) -> IndexSettings:
        """What holds for the whole."""


class View:
    """The catalog and the segments of one moment; kept open while somebody uses it, closed after `retire` when nobody does."""

    def __init__(self, catalog: Catalog, snapshot: Snapshot, settings: IndexSettings) -> None:
        self.catalog, self.snapshot, self.settings = catalog, snapshot, settings
        self._process = os.getpid()  # in a forked child, a lock may be held for ever and the catalog is the parent's
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False

    def __enter__(self) -> View:
        with self._lock:
            self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process != os.getpid():
            return
        with self._lock:
            self._users -= 1
            done = self._retired and not self._users
        if done:
            self.catalog.close()

    def retire(self) -> None:
        """Close the catalog, now or when its last user has gone; safe to call twice."""
        if self._process != os.getpid():
            return
        with self._lock:
            self._retired = True
            done = not self._users
        if done:
            self.catalog.close()


def open_view(path: Path, *, before: View | None = None) -> View:
    """Open the newest committed state.

    A writer may replace files between reading the catalog and mapping them: then the newer state is opened instead.

    Args:
        path: Folder of the index.
        before: A view of the same index, whose open files are used again where they are still live.

    Raises:
        IndexMissingError: There is no index any more.
        IndexCorruptError: A file is missing or damaged.
        StorageError: Another index is there now, or it changes faster than it can be opened.
    """
    if before is not None:
        check_place(path, before.catalog.place)
    catalog = Catalog.open(path)
    try:
        for _ in range(_MOST_ATTEMPTS):
            settings, records = catalog.settings(), catalog.segments()
            try:
                known = None if before is None else before.snapshot
                snapshot = Snapshot.open(path, catalog, settings.dim, before=known, records=records, settings=settings)
                return View(catalog, snapshot, settings)
            except IndexCorruptError:
                catalog.refresh()
                if [record.file for record in records] == [record.file for record in catalog.segments()]:
                    raise
        raise StorageError(f"{path}: a writer changes it faster than it can be opened. Try again.")
    except BaseException:
        catalog.close()
        raise


class Views(ForkAware):
    """The view that reads begin with: the newest committed state when opened, replaced by `refresh`; shared between threads.

    A forked child reads the newest state of the moment of the fork. Raises IndexMissingError, IndexCorruptError, StorageError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()  # held while the view is replaced
        self._closed = self._stale = self._reopen_watch = False
        self._watch: Catalog | None = None
        self.view = open_view(path)
        watch_forks(self)

    def after_fork_in_child(self) -> None:
        """Forget the connections, which are the parent's."""
        self._lock = threading.RLock()
        self._stale = True
        self._reopen_watch = self._watch is not None
        self._watch = None

    def begin_in_child(self) -> None:
        """Pin the present state: later, the parent may have closed it, and another process may have written."""
        if not self._closed:
            with suppress(PolyvecError):  # the next read tries again and raises it
                self.refresh()

    def follow(self) -> None:
        """From now on, `current` is the newest committed state each time it is asked for."""
        self._watch = Catalog.open(self._path, pin=False)
        self._seen = self._watch.changes()
        self._reopen_watch = False
        self.refresh()  # nothing is missed between the state that is open and the number that is watched

    def close(self) -> None:
        """Close files, once nobody uses them; safe to call twice."""
        with self._lock:
            self._closed = True
            if self._watch is not None:
                self._watch.close()
            self.view.retire()

    @property
    def closed(self) -> bool:
        return self._closed

    def refresh(self) -> None:
        """Move on to the newest committed state. Reads under way keep theirs."""
        with self._lock:
            self.check_open()
            before = self.view
            self._stale = False  # before the state is read: a commit may come in between
            try:
                self.view = open_view(self._path, before=before)
            except BaseException:
                self._stale = True
                raise
            before.retire()

    def outdate(self) -> None:
        """Note that a commit is made: the next reader opens its state."""
        self._stale = True

    @contextmanager
    def current(self) -> Iterator[View]:
        """The view to read, kept open."""
        with self._lock:
            self.check_open()
            if self._reopen_watch:
                self.follow()
            if self._watch is not None and (now := self._watch.changes()) != self._seen:
                self._seen, self._stale = now, True
            if self._stale:
                self.refresh()
            view = self.view.__enter__()
        try:
            yield view
        finally:
            view.__exit__(None, None, None)

    def vacuum(self, writing: Catalog) -> None:
        """`Catalog.vacuum` by the writer, while this reader pins no state."""
        with self._moving():
            self.refresh()
            with self.view.catalog.unpinned():
                writing.vacuum()

    def checkpoint(self, writing: Catalog) -> None:
        """`Catalog.checkpoint` by the writer, with this reader moved on past what is in the log."""
        with self._moving():
            self.refresh()
            writing.checkpoint()
            self.view.catalog.refresh()  # the same state, now read from the database itself

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Keep readers waiting; where it fails, the view may pin nothing, and the next reader opens another."""
        with self._lock:
            try:
                yield
            except BaseException:
                self._stale = True
                raise

    def check_open(self) -> None:
        """Raise StorageError after close()."""
        if self._closed:
            raise StorageError(f"{self._path}: the index is closed. Open it again with Index.open.")
