"""The folder of an index: made whole or not at all, and opened at one moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.catalog import CATALOG_FILE, Catalog
from polyvec.index.format import sync_folder
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot

OPEN_ATTEMPTS = 5  # a compaction may retire files between reading the catalog and mapping them


def open_folder(path: Path) -> tuple[Catalog, Snapshot]:
    """The catalog and the segments of one moment. Raises IndexMissingError, IndexCorruptError, StorageError."""
    for attempt in range(OPEN_ATTEMPTS):
        catalog = Catalog.open(path)
        try:
            return catalog, Snapshot.open(path, catalog, int(catalog.meta()["dim"]))
        except IndexCorruptError:
            catalog.close()
            if attempt == OPEN_ATTEMPTS - 1:
                raise
        except BaseException:
            catalog.close()
            raise
    raise AssertionError("unreachable")


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
        os.replace(staging, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
