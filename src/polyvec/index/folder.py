"""The folder of a new index: made whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from polyvec.errors import StorageError
from polyvec.index.catalog import CATALOG_FILE, Catalog
from polyvec.index.format import sync_folder
from polyvec.index.reader import SEGMENT_FOLDER


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
