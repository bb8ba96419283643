"""One document, and the one place where what a caller hands over becomes a valid one.

Every way in goes through here: files, iterables of dicts, vectors with metadata, ids to look for. Knows nothing about files,
models or indexes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyvec.arguments import list_of, shown
from polyvec.data.metadata import checked_metadata
from polyvec.data.text import checked_text, lone_surrogate
from polyvec.errors import InputError

LONGEST_ID = 4096  # bytes of UTF-8, as much as a path may have
_PLAIN_ID = re.compile(
    "[!-~]{1,4096}"
)  # most ids are printable ASCII without spaces, and no other question is open then

_RESERVED = ("_id", "id", "text", "metadata")
_IDS = "expected a string or a whole number in `id` (or `_id`)"


@dataclass(frozen=True, slots=True)
class Document:
    """The unit of retrieval.

    Attributes:
        id: What the caller calls it.
        text: What is encoded, together with its title.
        metadata: Any JSON values; `title` and `lang` are known by name.
    """

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

    Duplicate ids are for whoever stores them to refuse.

    Raises:
        InputError: The message names the entry.
    """
    return _documents(list_of("documents", items))


def _documents(items: Iterable[Any]) -> Iterator[Document]:
    for number, item in enumerate(items):
        if isinstance(item, Document):
            yield checked_document(item.id, item.text, item.metadata, f"document {number}")
        elif isinstance(item, Mapping):
            yield document_of(item, f"document {number}")
        else:
            raise InputError(f"document {number}: got {shown(item)}, expected a dict with id and text.")


def document_of(row: Mapping[str, Any], where: str) -> Document:
    """A document from one row of fields.

    `_id` names the document, or `id` where there is none; an `id` beside another `_id` is kept as metadata. The
    fields of a `metadata` object are metadata like all others, whatever their names.

    Args:
        where: The place of the row, for the message.

    Raises:
        InputError: One field has two values.
    """
    identifier, other = row.get("_id"), row.get("id")
    if identifier is None:
        identifier, other = other, None
    metadata = {key: value for key, value in row.items() if key not in _RESERVED}
    if other is not None and not _same_id(identifier, other):
        metadata["id"] = other
    nested = row.get("metadata")
    if isinstance(nested, Mapping):
        for key in metadata.keys() & nested.keys():
            if not _same(metadata[key], nested[key]):
                raise InputError(
                    f"{where}: field {key!r} of document {shown(identifier)} is {shown(metadata[key])} and, inside "
                    f"`metadata`, {shown(nested[key])}. Give it once."
                )
        metadata = {**nested, **metadata}
    elif nested is not None:
        metadata["metadata"] = nested
    return checked_document(identifier, row.get("text"), metadata, where)


def checked_document(identifier: Any, text: Any, metadata: Any, where: str) -> Document:
    """A document whose parts are what they have to be; metadata is copied.

    Args:
        where: Its place, for the message.
    """
    identifier = checked_id(identifier, where)
    if not isinstance(text, str):
        given = "no text" if text is None else f"text of type {type(text).__name__}"
        raise InputError(f"{where}: {given} in document {identifier!r}, expected a string in `text`.")
    text = checked_text(text, f"{where}: the text of document {identifier!r}")
    return Document(identifier, text, checked_metadata(metadata, where, identifier))


def checked_id(value: Any, where: str) -> str:
    """An id as the index keeps it: a string; whole numbers become their decimal digits.

    Args:
        where: Its place, for the message.

    Raises:
        InputError: Another type, a blank one, a NUL, a lone surrogate, and over LONGEST_ID bytes.
    """
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        return value
    if value is None:
        raise InputError(f"{where}: no id, {_IDS}.")
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, (str, int, np.integer)):
        raise InputError(f"{where}: id {shown(value)} is {type(value).__name__}, {_IDS}.")
    if isinstance(value, str):
        text = str.__str__(value)
    else:
        whole = int(value)
        text = str(whole) if whole.bit_length() <= 8192 else "9" * (LONGEST_ID + 1)  # longer ones Python does not print
    if not text.strip():
        raise InputError(f"{where}: id {shown(value)} is blank, {_IDS}.")
    if "\0" in text:
        raise InputError(f"{where}: id {shown(value)} holds a NUL character. Take it out.")
    if lone_surrogate(text) is not None:
        raise InputError(f"{where}: id {shown(value)} holds a lone surrogate, which is not Unicode text.")
    if len(text.encode("utf-8")) > LONGEST_ID:
        raise InputError(f"{where}: id {shown(value)} is over {LONGEST_ID} bytes long. Shorten it.")
    return text


def checked_ids(what: str, ids: Any) -> Iterator[str]:
    """Ids to look for, as the index keeps them.

    Args:
        what: The name of the list, for the message.

    Raises:
        InputError: One string in place of a list, at once, or an id that none can be, in its turn.
    """
    plain = _PLAIN_ID.fullmatch
    return (
        value if type(value) is str and plain(value) else checked_id(value, f"{what}[{place}]")
        for place, value in enumerate(list_of(what, ids))
    )


def _same_id(one: Any, other: Any) -> bool:
    try:
        return checked_id(one, "") == checked_id(other, "")
    except InputError:
        return False


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a field are the same, of one type too: 1, 1.0 and True are three values."""
    try:
        return type(one) is type(other) and bool(one == other)
    except ValueError:  # arrays, which no metadata may hold
        return False
