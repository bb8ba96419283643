"""One document, and the one place where what a caller hands over becomes a valid one.

Every way in goes through here: files, iterables of dicts, vectors with metadata. Knows nothing about files, models or indexes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polyvec.errors import InputError

_RESERVED = ("_id", "id", "text", "metadata")


@dataclass(frozen=True, slots=True)
class Document:
    """The unit of retrieval. metadata: any JSON values; `title` and `lang` are known by name."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def encoded_text(self) -> str:
        """What the model reads: the title, if there is one, and the text."""
        title = self.metadata.get("title")
        return f"{title} {self.text}" if isinstance(title, str) and title.strip() else self.text


def as_documents(items: Iterable[Document | Mapping[str, Any]]) -> Iterator[Document]:
    """Check any iterable of documents or dicts with `id` (or `_id`), `text` and other fields.

    Raises InputError naming the entry. Duplicate ids are for whoever stores them to refuse.
    """
    if isinstance(items, (str, bytes, Mapping)):
        raise InputError(f"Expected a list of documents, got one {type(items).__name__}. Wrap it in a list.")
    for number, item in enumerate(items):
        if isinstance(item, Document):
            yield checked_document(item.id, item.text, item.metadata, f"document {number}")
        elif isinstance(item, Mapping):
            yield document_of(item, f"document {number}")
        else:
            raise InputError(f"document {number}: got {type(item).__name__}, expected a dict with id and text.")


def document_of(row: Mapping[str, Any], where: str) -> Document:
    identifier = row["_id"] if "_id" in row else row.get("id")
    nested = row.get("metadata")
    metadata: dict[str, Any] = {key: value for key, value in row.items() if key not in _RESERVED and value is not None}
    if isinstance(nested, Mapping):
        metadata = {**nested, **metadata}
    elif nested is not None:
        metadata["metadata"] = nested
    return checked_document(identifier, row.get("text"), metadata, where)


def checked_document(identifier: Any, text: Any, metadata: Mapping[str, Any], where: str) -> Document:
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    if not isinstance(identifier, str) or not identifier.strip():
        given = "no id" if identifier is None else f"id {identifier!r}"
        raise InputError(f"{where}: {given}, expected a non-empty string in `id` (or `_id`).")
    if not isinstance(text, str):
        given = "no text" if text is None else f"text of type {type(text).__name__}"
        raise InputError(f"{where}: {given} in document {identifier!r}, expected a string in `text`.")
    if not text.strip():
        raise InputError(
            f"{where}: the text of document {identifier!r} is empty. Leave the document out, or give it a text."
        )
    for name, value in (("id", identifier), ("text", text)):
        if not _encodable(value):
            raise InputError(
                f"{where}: the {name} of document {identifier!a} holds a lone surrogate, which is not Unicode text."
            )
    try:
        json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: metadata of document {identifier!r} is not plain JSON ({error}).") from error
    return Document(identifier, text, dict(metadata))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
