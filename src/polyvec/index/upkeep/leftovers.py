"""Files in an index's folder that its catalog does not list: removed where a writer left them, put aside where they may be wanted.

A file of a name that no writer gives is somebody else's and stays where it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import Catalog
from polyvec.index.folder import own_files
from polyvec.index.format import sync_folder
from polyvec.index.reader import SEGMENT_FOLDER

DAMAGED_FOLDER = "damaged"
_CLOCK_SECONDS = 2.0  # by which the clock of a disk may be behind


@dataclass(frozen=True)
class Leftovers:
    """Files that the catalog does not list.

    Attributes:
        removable: Half written, replaced by a merge, or of a writer that was killed.
        strays: Finished files that no catalog of this index's history has listed, as when an older catalog was put back.
    """

    removable: list[Path]
    strays: list[Path]


def leftovers(folder: Path, listed: Collection[str], next_segment: int, killed_since: float | None) -> Leftovers:
    """What is in the folder of segments beside the listed files.

    Args:
        folder: Of the index.
        listed: Names of the files that the catalog lists.
        next_segment: The number that the catalog gives to the next file.
        killed_since: When a writer began that did not close the index, as seconds since 1970; None where all did.
    """
    removable: list[Path] = []
    strays: list[Path] = []
    found = own_files(folder)
    # where a listed file is missing, one of these may be it
    complete = set(listed) <= {path.name for path in found} | {""}
    for path in found:
        if path.name in listed:
            continue
        number = int(path.name.split(".")[0])
        with contextlib.suppress(OSError):
            fresh = killed_since is not None and path.stat().st_mtime >= killed_since - _CLOCK_SECONDS
            replaced = number < next_segment and complete
            in_flight = fresh and number <= next_segment + 1  # a codec and a segment
            known = path.suffix == ".tmp" or replaced or in_flight
            (removable if known else strays).append(path)
    return Leftovers(removable, strays)


def leftovers_of(folder: Path, catalog: Catalog, killed_since: float | None = None) -> Leftovers:
    """`leftovers` of an index as its catalog is now; none where its folder of segments is missing."""
    settings = catalog.settings()
    listed = {record.file for record in catalog.segments()} | {settings.codec.file if settings.codec else ""}
    if not (folder / SEGMENT_FOLDER).is_dir():
        return Leftovers([], [])
    return leftovers(folder, listed, settings.next_segment, killed_since)


def put_aside(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Move files to the folder of damaged files, under a name that is free there. Returns where they are now."""
    moved = []
    for file in files:
        moved.append(keep_copy(folder, file))
        file.unlink()
        sync_folder(file.parent)
    return moved


def keep_copy(folder: Path, file: Path) -> Path:
    """Make a file appear in the folder of damaged files as well, without copying it where the disk has links."""
    damaged = folder / DAMAGED_FOLDER
    try:
        damaged.mkdir(exist_ok=True)
        target, number = damaged / file.name, 1
        while os.path.lexists(target):
            if os.path.samefile(target, file):
                return target
            target, number = damaged / f"{file.name}.{number}", number + 1
        try:
            os.link(file, target)
        except OSError:
            shutil.copy2(file, target)
        sync_folder(damaged)
    except OSError as error:
        raise StorageError(f"Cannot move {file} to {damaged}: {error.strerror}.") from error
    return target
