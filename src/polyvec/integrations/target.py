"""What an adapter is given -> what it searches: a path, an open index, or anything that has an index's methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polyvec.arguments import local_path
from polyvec.collection.index import Index
from polyvec.collection.settings import DEFAULT_NBITS
from polyvec.encoder import Encoder, TokenEncoder
from polyvec.errors import InputError
from polyvec.index.catalog.catalog import CATALOG_FILE

_METHODS = ("search", "get", "add", "delete")


def opened(target: Any, *, encoder: TokenEncoder | None = None, nbits: int | None = None) -> Any:
    """An index, shards or client as it is; the index at a path, made where there is none.

    Args:
        target: A path, or an object with the methods of `polyvec.Index`.
        encoder: For an index at a path: the model, where it is not the index's own or the default.
        nbits: For an index that is made: bits a dimension, as `Index.create` has it.

    Returns:
        The object to search.

    Raises:
        InputError: Something else, or options for an index that is open already.
        StorageError: As `Index.open` and `Index.create` raise it.
    """
    if not isinstance(target, (str, os.PathLike)):
        _check_open(target, encoder=encoder, nbits=nbits)
        return target
    path = Path(local_path("index", target))
    if (path / CATALOG_FILE).is_file():
        return Index.open(path, encoder=encoder)
    model = Encoder() if encoder is None else encoder
    return Index.create(path, encoder=model, nbits=DEFAULT_NBITS if nbits is None else nbits)


def _check_open(target: Any, **options: Any) -> None:
    missing = [name for name in _METHODS if not callable(getattr(target, name, None))]
    if missing:
        raise InputError(
            f"index: got {type(target).__name__}, which has no {missing[0]}(). Expected a path, a polyvec.Index, or an object "
            "with its methods."
        )
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name}= is for an index at a path; the one given is open already. Leave {name} out.")
