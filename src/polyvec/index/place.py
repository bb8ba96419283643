"""Whether an index still lies where it was opened: folders are moved, deleted and replaced while somebody has them open."""

from __future__ import annotations

import os
from pathlib import Path

from polyvec.errors import IndexMissingError, InputError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.catalog.connection import Place, place_of


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path as it is now, whatever becomes of the working directory.

    Raises InputError for something that is no path, StorageError where there is no working directory any more.
    """
    try:
        return Path(os.path.abspath(path))
    except TypeError as error:
        raise InputError(f"path {path!r}: expected a path, as text or as a Path.") from error
    except OSError as error:
        raise StorageError(
            f"{os.fspath(path)}: the working directory does not exist any more. Give an absolute path."
        ) from error


def check_place(folder: Path, place: Place) -> None:
    """Raise IndexMissingError where the catalog at `place` is no longer in this folder, StorageError where another one is.

    An open connection keeps the file, so that no other file gets its number.
    """
    try:
        there = place_of(os.path.join(folder, CATALOG_FILE))
    except OSError as error:
        raise IndexMissingError(
            f"{folder}: the index that was opened here has been moved or deleted ({error.strerror}). Open it where it is now."
        ) from error
    if there != place:
        raise StorageError(
            f"{folder}: another index lies here now than the one that was opened. Close this one, and open the path again."
        )
