"""The index a user holds: documents in, hits out. How it is made, opened and closed; what it does is in its three parts.

Joins an encoder (text -> token vectors), the index on disk, and search. An index is a folder: one SQLite catalog, immutable
segment files.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from polyvec.arguments import flag, local_path, token_encoder, whole_number
from polyvec.collection.index_writing import IndexWriting
from polyvec.collection.reading import Reading
from polyvec.collection.searching import Searching
from polyvec.collection.settings import DEFAULT_NBITS, NBITS, checked_nbits, new_settings
from polyvec.errors import InputError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.catalog.settings import State
from polyvec.index.folder import make_folder
from polyvec.index.place import absolute
from polyvec.index.views import View

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

__all__ = ["DEFAULT_NBITS", "NBITS", "Index"]


class Index(Searching, Reading, IndexWriting):
    """A late-interaction index in one folder. Make with `create`, `open` or `open_or_create`; usable as a context manager.

    Readers keep the state they opened until `refresh()`; the first writing call takes the writer's lock and keeps it until
    `close()`. Safe to share between threads for searching.
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: TokenEncoder | None = None,
        dim: int | None = None,
        nbits: int = DEFAULT_NBITS,
    ) -> Index:
        """Make a new, empty index.

        Args:
            path: Its folder: a path that is free, or an empty folder.
            encoder: The model that turns texts into token vectors.
            dim: Dimensions of a token vector, for an index of vectors only.
            nbits: Bits a dimension of a stored token vector: 1, 2, 4 or 8 once a codec is trained on what there is; 16 keeps fp16.

        Returns:
            The open index.

        Raises:
            StorageError: Something is in the way, or the folder cannot be written.
            InputError: Neither encoder nor dim is given, or a value makes no sense.
        """
        return cls._create(absolute(local_path("path", path)), encoder, dim, nbits, state="ready")

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, encoder: TokenEncoder | None = None, auto_refresh: bool = False
    ) -> Index:
        """Open an index.

        Args:
            path: Its folder.
            encoder: To share one that is loaded already; otherwise the index loads its own on first use.
            auto_refresh: Whether every search reads the newest committed state; otherwise `refresh()` moves on to it.

        Returns:
            The open index.

        Raises:
            IndexMissingError: There is no index.
            IndexIncompleteError: Building it was interrupted.
            IndexCorruptError: A file of it is damaged.
            ModelMismatchError: The encoder is another model than the one that made it.
        """
        if encoder is not None:
            token_encoder("encoder", encoder)
        folder = absolute(local_path("path", path))
        return cls(folder, encoder=encoder, auto_refresh=flag("auto_refresh", auto_refresh))

    @classmethod
    def open_or_create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: TokenEncoder | None = None,
        dim: int | None = None,
        nbits: int | None = None,
        auto_refresh: bool = False,
    ) -> Index:
        """Open the index at a path, or make an empty one where there is none.

        Args:
            path: Its folder.
            encoder: The model that turns texts into token vectors. One that is there may load its own.
            dim: Dimensions of a token vector, for an index of vectors only.
            nbits: Bits a dimension of a stored token vector; None for 4, or what the index that is there has.
            auto_refresh: Whether every search reads the newest committed state; otherwise `refresh()` moves on to it.

        Returns:
            The open index. Of several processes that call this at once, one makes it and all open it.

        Raises:
            InputError: The index that is there has another dim or nbits; or there is none, and neither encoder nor dim is given.
            StorageError: As `open` and `create` have it.
        """
        folder, auto_refresh = absolute(local_path("path", path)), flag("auto_refresh", auto_refresh)
        dim = None if dim is None else whole_number("dim", dim, of="dimensions")
        nbits = None if nbits is None else checked_nbits(nbits)
        if not (folder / CATALOG_FILE).is_file():
            try:
                cls.create(folder, encoder=encoder, dim=dim, nbits=DEFAULT_NBITS if nbits is None else nbits).close()
            except StorageError:
                if not (folder / CATALOG_FILE).is_file():  # otherwise another process was quicker
                    raise
        index = cls.open(folder, encoder=encoder, auto_refresh=auto_refresh)
        for name, wanted, there in (("dim", dim, index.dim), ("nbits", nbits, index._settings.nbits)):
            if wanted not in (None, there):
                index.close()
                raise InputError(
                    f"{name}={wanted}, but {folder} has {name}={there}. Leave {name} out, or choose another path."
                )
        return index

    @classmethod
    def create_resumable(cls, path: Path, *, encoder: TokenEncoder, nbits: int, source: str) -> Index:
        """Make an index that nobody can open until `finish()`, or go on with one that the same source began.

        Args:
            path: Its folder.
            encoder: The model that turns texts into token vectors.
            nbits: Bits a dimension of a stored token vector; of the last run.
            source: What it is built from, in words that are the same when it is resumed.

        Returns:
            The open index, empty or with what was committed before.

        Raises:
            StorageError: The path is taken: by an index that is complete, by one from another source, or by something else.
        """
        path, nbits = absolute(path), checked_nbits(nbits)
        if (path / CATALOG_FILE).is_file():
            index = cls(path, encoder=encoder, resume=True)
            begun = index._settings.source
            if index._settings.state == "ready" or begun != source:
                index.close()
                what = "is an index already" if index._settings.state == "ready" else f"was begun from {begun}"
                raise StorageError(
                    f"{path} {what}. Add to it with `polyvec add`, choose another path, or delete the folder."
                )
            index._resume_with(nbits)
            return index
        return cls._create(path, encoder, None, nbits, state="building", source=source)

    @classmethod
    def _create(
        cls,
        path: Path,
        encoder: TokenEncoder | None,
        dim: int | None,
        nbits: int,
        *,
        state: State,
        source: str | None = None,
    ) -> Index:
        make_folder(path, new_settings(encoder=encoder, dim=dim, nbits=nbits, state=state, source=source))
        return cls(path, encoder=encoder, resume=True)

    @property
    def _view(self) -> View:
        return self._session.views.view

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
