"""What an adapter is given -> what it searches: a path, an open index, or anything that has an index's methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polyvec.arguments import local_path
from polyvec.collection.index import Index
from polyvec.encoder import Encoder, TokenEncoder
from polyvec.errors import InputError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.search.explain import Explanation
from polyvec.search.hits import Hit
from polyvec.shards.manifest import has_manifest
from polyvec.shards.opening import open_collection

_METHODS = ("search", "get", "add", "delete")


def opened(target: Any, *, model: str | TokenEncoder | None = None, nbits: int | None = None) -> Any:
    """An index, shards or client as it is; the index or shards at a path, an index made where there is nothing.

    What is opened here always reads the newest committed state, whoever wrote it.

    Args:
        target: A path, or an object with the methods of `polyvec.Index`.
        model: For an index at a path: an encoder, or a model's name or folder, where it is not the index's own or the default.
        nbits: For an index that is made: bits a dimension, as `Index.create` has it.

    Returns:
        The object to search.

    Raises:
        InputError: Something else, or options for an index that is open already.
        StorageError: As `Index.open_or_create` raises it.
    """
    if not isinstance(target, (str, os.PathLike)):
        _check_open(target, model=model, nbits=nbits)
        return target
    path = Path(local_path("index", target))
    if has_manifest(path):
        if nbits is not None:
            raise InputError(f"nbits={nbits}: {path} has shards already. Leave nbits out.")
        return open_collection(path, encoder=None if model is None else encoder_of(model), auto_refresh=True)
    encoder = encoder_of(model) if model is not None or not (path / CATALOG_FILE).is_file() else None
    return Index.open_or_create(path, encoder=encoder, nbits=nbits, auto_refresh=True)


def encoder_of(model: str | TokenEncoder | None) -> TokenEncoder:
    """An encoder as it is, the one with a name or in a folder, or for None the one that ships with polyvec."""
    if model is None:
        return Encoder()
    return Encoder(model) if isinstance(model, str) else model


def path_or_index(what: str, path: Any, index: Any) -> Any:
    """The one of the two that is given.

    Args:
        what: The name of the class, for the message.

    Raises:
        InputError: Neither is given, or both.
    """
    if (path is None) == (index is None):
        raise InputError(f"{what}: give a path, or index= with an open index, and not both.")
    return index if path is None else path


def explained(index: Any, query: str, document_id: str | None) -> Explanation:
    """Which words of a question met which words of a stored document.

    Args:
        index: The open index.
        query: The question.
        document_id: The document's id.

    Returns:
        The explanation; its `highlights()` are stretches of its `text`.

    Raises:
        InputError: There is no such document, or it has no text.
    """
    stored = None if document_id is None else index.get([document_id])[0]
    if stored is None:
        raise InputError(f"explain: the index holds no document {document_id!r}. Give one that it found.")
    hit = Hit(id=stored.id, score=0.0, rank=1, text=stored.text, metadata=stored.metadata)
    explanation: Explanation = index.explain(query, hit)
    return explanation


def _check_open(target: Any, **options: Any) -> None:
    missing = [name for name in _METHODS if not callable(getattr(target, name, None))]
    if missing:
        raise InputError(
            f"index: got {type(target).__name__}, which has no {missing[0]}(). Expected a path, a polyvec.Index, or an object "
            "with its methods."
        )
    if any(value is not None for value in options.values()):
        raise InputError("A model and nbits are for an index at a path; the one given is open already. Leave them out.")
