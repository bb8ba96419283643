"""The folder of a new index, wherever it is wanted: made whole or not at all.

Everything is built in a hidden folder inside the place itself, under the writer's lock, and the catalog is moved out last: a
folder without one is no index yet. So an empty folder that is there already, a mount point or a link to one will do.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE, Catalog
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.catalog.sqlite_file import LOG, SHARED_MEMORY
from polyvec.index.format import sync_folder
from polyvec.index.lock import LOCK_FILE, WriterLock
from polyvec.index.reader import SEGMENT_FOLDER

_STAGING = ".creating"
_OF_THE_SYSTEM = re.compile(  # what file managers, disks and version control put into empty folders
    r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|lost\+found|\.directory|\.Trash.*|\.Trashes|\.fseventsd|\.Spotlight-V100"
    r"|\.gitkeep|\.keep|\.nfs.*",
    re.IGNORECASE,
)
_OWN_FILE = re.compile(r"\d{8,}\.(seg|codec)(\.(\d+\.)?tmp)?")  # what writers put into the folder of segments


def make_folder(path: Path, settings: IndexSettings) -> None:
    """Make an empty index in a folder that is empty or not there.

    Args:
        path: Where; missing parents are made, and a link is followed.
        settings: Of the index.

    Raises:
        StorageError: Where something else is there, or nothing can be written.
        IndexLockedError: Where another process is making one there.
    """
    with new_folder(path) as staging:
        Catalog.create(staging, settings).close()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to build an index in: catalog and folder of segments. It becomes the index at `path` on a clean exit."""
    with _as_storage_errors(path):
        place = Path(os.path.realpath(path))
        made = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        _check_empty(place, path)
    staging = place / _STAGING
    try:
        with WriterLock(place):
            try:
                with _as_storage_errors(path):
                    _check_empty(place, path)
                    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
                    staging.mkdir()
                    (staging / SEGMENT_FOLDER).mkdir()
                yield staging
                with _as_storage_errors(path):
                    _move_out(staging, place)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                (place / LOCK_FILE).unlink(missing_ok=True)
                raise
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise


def remove_folder(path: Path) -> None:
    """Remove an index, and its folder where nothing else is in it."""
    for name in (CATALOG_FILE, CATALOG_FILE + LOG, CATALOG_FILE + SHARED_MEMORY, LOCK_FILE):
        with contextlib.suppress(OSError):
            (path / name).unlink()
    for file in own_files(path):
        with contextlib.suppress(OSError):
            file.unlink()
    with contextlib.suppress(OSError):
        (path / SEGMENT_FOLDER).rmdir()
        path.rmdir()


def own_files(path: Path) -> list[Path]:
    """The files in an index's folder of segments that a writer has made, by name. Anything else there is not ours.

    Raises StorageError where that folder is missing.
    """
    folder = path / SEGMENT_FOLDER
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be read: {error.strerror}. Every index has this folder: restore it, or run "
            f"`polyvec repair {path}`."
        ) from error
    return [folder / name for name in sorted(names) if _OWN_FILE.fullmatch(name)]


def _check_empty(place: Path, path: Path) -> None:
    """Raise StorageError unless an index may be made in this folder."""
    if not place.is_dir():
        raise StorageError(f"Cannot create {path}: it is a file. Choose another path, or delete it first.")
    if os.path.lexists(place / CATALOG_FILE):
        raise StorageError(f"Cannot create {path}: an index is there already. Choose another path, or delete it first.")
    for entry in place.iterdir():
        if entry.name in (LOCK_FILE, _STAGING) or _OF_THE_SYSTEM.fullmatch(entry.name):
            continue
        if entry.name == SEGMENT_FOLDER and entry.is_dir() and not any(entry.iterdir()):
            continue
        raise StorageError(
            f"Cannot create {path}: something else is there ({entry.name!r}). Choose another path, or delete it first."
        )


def _move_out(staging: Path, place: Path) -> None:
    log = staging / (CATALOG_FILE + LOG)
    if log.exists() and log.stat().st_size:
        raise StorageError(f"Cannot create {place}: its catalog could not be written whole. Check free space.")
    with contextlib.suppress(OSError):
        (place / SEGMENT_FOLDER).rmdir()
    sync_folder(staging / SEGMENT_FOLDER)
    os.rename(staging / SEGMENT_FOLDER, place / SEGMENT_FOLDER)
    sync_folder(place)
    os.rename(staging / CATALOG_FILE, place / CATALOG_FILE)
    shutil.rmtree(staging, ignore_errors=True)
    sync_folder(place)
    sync_folder(place.parent)


@contextmanager
def _as_storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise StorageError(
            f"Cannot create {path}: a file is in the way ({error.filename}). Choose another path."
        ) from error
    except OSError as error:
        raise StorageError(
            f"Cannot create {path}: {error.strerror}. Choose another path, or check the folder's permissions."
        ) from error
    except ValueError as error:  # a path with a zero byte
        raise StorageError(f"Cannot create {path!r}: {error}. Choose another path.") from error
