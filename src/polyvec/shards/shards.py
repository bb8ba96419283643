"""Several indexes as one: what a user holds of a folder of shards."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from polyvec.arguments import flag, local_path, token_encoder, whole_number
from polyvec.atomic import staged
from polyvec.collection.reading import Reading
from polyvec.collection.searching import Searching
from polyvec.collection.settings import DEFAULT_NBITS, new_settings
from polyvec.index.folder import make_folder
from polyvec.index.place import absolute
from polyvec.shards.commit_lock import COMMIT_LOCK_FILE
from polyvec.shards.manifest import Manifest
from polyvec.shards.routing import MOST_SHARDS
from polyvec.shards.session import ShardsSession
from polyvec.shards.writing import ShardsWriting

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder
    from polyvec.index.catalog.settings import IndexSettings


class Shards(Searching, Reading, ShardsWriting):
    """Several indexes in one folder, used as one. Make with `create` or `open`; usable as a context manager.

    Has the methods of `Index`, and finds what one index with all the documents finds: the same ids, scores and order. A document's
    shard follows from its id. All shards share one codec, and keywords are scored with the statistics of all of them.

    Readers see all shards as they were at one moment, and keep that state until `refresh()`. Safe to share between threads for
    searching. What a writing call promises, `ShardsWriting` says.
    """

    def __init__(self, path: Path, *, encoder: TokenEncoder | None, auto_refresh: bool = False) -> None:
        super().__init__(path, encoder=encoder, auto_refresh=auto_refresh, session=ShardsSession(absolute(path)))

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        shards: int = 4,
        encoder: TokenEncoder | None = None,
        dim: int | None = None,
        nbits: int = DEFAULT_NBITS,
    ) -> Shards:
        """Make new, empty shards.

        Args:
            path: Their folder: a path that is free, or an empty folder.
            shards: How many, from 1 to 64; it cannot be changed later.
            encoder: The model that turns texts into token vectors.
            dim: Dimensions of a token vector, for shards of vectors only.
            nbits: Bits a dimension of a stored token vector: 1, 2, 4 or 8 once a codec is trained on what there is; 16 keeps fp16.

        Returns:
            The open shards.

        Raises:
            StorageError: Something is in the way, or the folder cannot be written.
            InputError: Neither encoder nor dim is given, or a value makes no sense.
        """
        folder = absolute(local_path("path", path))
        count = whole_number("shards", shards, most=MOST_SHARDS, of="shards")
        settings = new_settings(encoder=encoder, dim=dim, nbits=nbits, state="ready", source=None)
        with staged(folder) as staging:
            manifest = new_manifest(settings, count)
            for name in manifest.shards:
                make_folder(staging / name, settings)
            finish_folder(staging, manifest)
        return cls(folder, encoder=encoder)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, encoder: TokenEncoder | None = None, auto_refresh: bool = False
    ) -> Shards:
        """Open shards.

        Args:
            path: Their folder.
            encoder: To share one that is loaded already; otherwise the shards load their own on first use.
            auto_refresh: Whether every search reads the newest committed state; otherwise `refresh()` moves on to it.

        Returns:
            The open shards.

        Raises:
            IndexMissingError: There is no manifest, or a shard is not there.
            IndexCorruptError: A file is damaged, or a shard does not fit the manifest.
            ModelMismatchError: The encoder, or a shard, is of another model.
        """
        if encoder is not None:
            token_encoder("encoder", encoder)
        folder = absolute(local_path("path", path))
        return cls(folder, encoder=encoder, auto_refresh=flag("auto_refresh", auto_refresh))

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def new_manifest(settings: IndexSettings, shards: int) -> Manifest:
    """The manifest of new shards.

    Args:
        settings: Of each of them.
        shards: How many there are.

    Returns:
        The manifest, with names for their folders.
    """
    names = tuple(f"shard-{number:03d}" for number in range(shards))
    return Manifest(shards=names, dim=settings.dim, nbits=settings.nbits, model=settings.model)


def finish_folder(folder: Path, manifest: Manifest) -> None:
    """Put into a folder of shards what it has beside them. From then on it can be opened.

    Args:
        folder: That has all shards.
        manifest: Of them.
    """
    (folder / COMMIT_LOCK_FILE).touch()
    manifest.write(folder)
