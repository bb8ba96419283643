"""A path -> what lies there, open: one index, or shards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from polyvec.arguments import local_path
from polyvec.collection.index import Index
from polyvec.index.copying import copy_index
from polyvec.shards.manifest import has_manifest

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder
    from polyvec.shards.shards import Shards


def open_collection(
    path: str | os.PathLike[str], *, encoder: TokenEncoder | None = None, auto_refresh: bool = False
) -> Index | Shards:
    """Open shards where the folder has a shards.json, otherwise an index.

    Args:
        path: The folder.
        encoder: To share one that is loaded already; otherwise it loads its own on first use.
        auto_refresh: Whether every search reads the newest committed state.

    Returns:
        The open index or shards.

    Raises:
        StorageError: As `Index.open` and `Shards.open` have it.
    """
    if not has_manifest(local_path("path", path)):
        return Index.open(path, encoder=encoder, auto_refresh=auto_refresh)
    from polyvec.shards.shards import Shards

    return Shards.open(path, encoder=encoder, auto_refresh=auto_refresh)


def copy_collection(
    path: Path, target: Path, *, hard_links: bool, progress: Callable[[int, int], None] | None = None
) -> int:
    """Copy shards, or an index, which may be one whose building was interrupted.

    Args:
        path: The folder.
        target: Where the copy goes: a path that is free, or an empty folder.
        hard_links: Whether the copy shares segment files where the disk allows it.
        progress: Called with the bytes done and the bytes in all.

    Returns:
        The size of the copy, in bytes.

    Raises:
        IndexCorruptError: A file is damaged; no copy is left then.
        StorageError: The copy cannot be written, or something else is there.
    """
    if not has_manifest(path):
        return copy_index(path, target, hard_links=hard_links, progress=progress)
    from polyvec.shards.shards import Shards

    with Shards.open(path) as shards:
        return shards.copy(target, hard_links=hard_links, progress=progress)
