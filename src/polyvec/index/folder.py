"""The folder of an index: made whole or not at all, and opened at one moment."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.catalog import CATALOG_FILE, Catalog
from polyvec.index.format import sync_folder
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot

_MOST_ATTEMPTS = 50


class View:
    """The catalog and the segments of one moment; kept open while somebody uses it, closed after `retire` when nobody does."""

    def __init__(self, catalog: Catalog, snapshot: Snapshot) -> None:
        self.catalog, self.snapshot = catalog, snapshot
        self.meta = catalog.meta()
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
        with self._lock:
            self._users -= 1
            done = self._retired and not self._users
        if done:
            self.catalog.close()

    def retire(self) -> None:
        """Close the catalog, now or when its last user has gone; safe to call twice."""
        with self._lock:
            self._retired = True
            done = not self._users
        if done:
            self.catalog.close()


def open_view(path: Path, *, before: View | None = None) -> View:
    """The newest committed state. before: whose open files are used again where they still count.

    A writer may retire files between reading the catalog and mapping them: then the newer state is opened instead.
    Raises IndexMissingError, IndexCorruptError, StorageError.
    """
    catalog = Catalog.open(path)
    try:
        for _ in range(_MOST_ATTEMPTS):
            files = [record.file for record in catalog.segments()]
            try:
                known = None if before is None else before.snapshot
                return View(catalog, Snapshot.open(path, catalog, int(catalog.meta()["dim"]), before=known))
            except IndexCorruptError:
                catalog.refresh()
                if files == [record.file for record in catalog.segments()]:
                    raise
        raise StorageError(f"{path}: a writer changes it faster than it can be opened. Try again.")
    except BaseException:
        catalog.close()
        raise


def make_folder(path: Path, meta: dict[str, Any]) -> None:
    """Build the empty index beside its place and rename it there, so that half of one is never seen."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        what = "an index is there already" if (path / CATALOG_FILE).is_file() else "something else is there"
        raise StorageError(f"Cannot create {path}: {what}. Choose another path, or delete it first.")
    staging = path.with_name(f".{path.name}.creating-{os.getpid()}")
    try:
        try:
            staging.mkdir(parents=True)
            (staging / SEGMENT_FOLDER).mkdir()
        except OSError as error:
            raise StorageError(f"Cannot create {path}: {error.strerror}. Check the folder's permissions.") from error
        Catalog.create(staging, meta).close()
        sync_folder(staging)
        os.replace(staging, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
