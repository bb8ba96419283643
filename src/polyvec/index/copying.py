"""One committed state of an index -> an index of its own elsewhere, while others read and write the first.

The catalog goes through SQLite's backup, so that nothing is torn and no lock is dropped; segments are immutable files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE, Catalog
from polyvec.index.folder import new_folder
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.index.recovery.checking import problems_of

_CHUNK = 1 << 22  # bytes copied at once
_MOST_ATTEMPTS = 50


def copy_index(
    source: Path, target: Path, *, hard_links: bool = False, progress: Callable[[int, int], None] | None = None
) -> int:
    """Copy the newest committed state of an index, and verify the copy.

    Args:
        source: Folder of the index; it may be written meanwhile.
        target: Where the copy goes: a path that is free, or an empty folder.
        hard_links: Whether the copy shares its segment files with the source, which takes no space, and protects from
            changes but not from a failing disk. Files are copied where links are not possible.
        progress: Called with the bytes done and the bytes in all.

    Returns:
        The size of the copy, in bytes.

    Raises:
        IndexCorruptError: Where a file of the source is damaged; no copy is left then.
        StorageError: Where the target cannot be written.
    """
    inside, outside = Path(os.path.realpath(target)), Path(os.path.realpath(source))
    if inside == outside or outside in inside.parents:
        raise StorageError(f"Cannot copy {source} into itself ({target}). Choose a path outside of it.")
    with contextlib.ExitStack() as held:
        catalog = Catalog.open(source)
        held.callback(catalog.close)
        files = _opened(source, catalog, held)
        total = sum(os.fstat(file.fileno()).st_size for file in files.values()) + catalog.path.stat().st_size
        with new_folder(target) as staging:
            done = 0
            for name, file in files.items():
                size = os.fstat(file.fileno()).st_size
                _copy(file, source / SEGMENT_FOLDER / name, staging / SEGMENT_FOLDER / name, hard_links=hard_links)
                done += size
                if progress is not None:
                    progress(done, total)
            catalog.copy_to(staging / CATALOG_FILE)
            _make_own(staging)
            if progress is not None:
                progress(total, total)
            _verify(staging, source)
    return total


def _make_own(copy: Path) -> None:
    """A copy of a folder that was pulled is an index of its own, which may be written."""
    with contextlib.closing(Catalog.open(copy)) as catalog:
        pulled = catalog.pulled() is not None
    if pulled:
        with contextlib.closing(Catalog.open(copy, write=True)) as catalog, catalog.transaction():
            catalog.set_pulled(None)


def _opened(source: Path, catalog: Catalog, held: contextlib.ExitStack) -> dict[str, IO[bytes]]:
    """The files of a state, open, so that they stay readable when a writer replaces them."""
    for _ in range(_MOST_ATTEMPTS):
        names = [record.file for record in catalog.segments()]
        if (codec := catalog.settings().codec) is not None:
            names.append(codec.file)
        with contextlib.ExitStack() as opened:
            try:
                files: dict[str, IO[bytes]] = {}
                for name in names:
                    files[name] = opened.enter_context((source / SEGMENT_FOLDER / name).open("rb"))
            except OSError as error:
                catalog.refresh()  # a writer has gone on
                if names[: len(segments := catalog.segments())] == [record.file for record in segments]:
                    raise IndexCorruptError(
                        f"{error.filename} cannot be read: {error.strerror}. Restore it, or run `polyvec repair {source}`."
                    ) from error
                continue
            held.push(opened.pop_all())
            return files
    raise StorageError(f"{source}: a writer changes it faster than it can be copied. Try again.")


def _copy(file: IO[bytes], path: Path, target: Path, *, hard_links: bool) -> None:
    try:
        if hard_links:
            with contextlib.suppress(OSError):  # another disk, or one without links
                os.link(path, target)
                if os.path.samestat(os.stat(target), os.fstat(file.fileno())):
                    return
                target.unlink()
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _CHUNK)
            copy.flush()
            os.fsync(copy.fileno())
    except OSError as error:
        raise StorageError(f"Cannot write {target}: {error.strerror}. Free some space and try again.") from error


def _verify(copy: Path, source: Path) -> None:
    catalog = Catalog.open(copy)
    try:
        problems = problems_of(catalog, Snapshot.open(copy, catalog, catalog.settings().dim))
    except IndexCorruptError as error:
        problems = [str(error)]
    finally:
        catalog.close()
    if problems:
        problem = problems[0].replace(str(copy), str(source))
        raise IndexCorruptError(f"{problem.rstrip('.')}. Nothing was copied: run `polyvec repair {source}` first.")
