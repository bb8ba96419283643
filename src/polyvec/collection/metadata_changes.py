"""Changes of metadata by id -> what they make of stored documents: new metadata, or, where a title changes, a new encoding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from polyvec.arguments import shown
from polyvec.data import Document
from polyvec.data.document import checked_id
from polyvec.data.metadata import checked_metadata
from polyvec.errors import InputError
from polyvec.index.catalog.catalog import StoredDocument
from polyvec.index.catalog.protocol import ReadableCatalog

_CHUNK = 256  # documents read at once

Changes = dict[str, dict[str, Any]]


def checked_changes(changes: Any) -> Changes:
    """Fields to change by id, in plain JSON values.

    Args:
        changes: What a caller gives: a dict of dicts.

    Returns:
        A copy of it, in the same order.

    Raises:
        InputError: It is no dict of dicts, a key is no id, two keys are the same id, or a value is not plain JSON.
    """
    if not isinstance(changes, Mapping):
        raise InputError(f"changes: got {shown(changes)}, expected a dict of ids, such as {{'42': {{'year': 2021}}}}.")
    checked: Changes = {}
    for place, (key, fields) in enumerate(changes.items()):
        document_id = checked_id(key, f"changes[{place}]")
        if fields is None:
            raise InputError(
                f"changes[{place}]: document {document_id!r} has None, expected a dict of fields. None removes a field: "
                "{'year': None}."
            )
        if document_id in checked:
            raise InputError(f"changes: document {document_id!r} comes twice. Give the changes of each document once.")
        checked[document_id] = checked_metadata(fields, f"changes[{place}]", document_id)
    return checked


@dataclass
class Changed:
    """What changes do to the documents that are stored.

    Attributes:
        metadata: Documents whose vectors stay: (row, metadata).
        titled: Documents whose title changes, so that they are encoded again: metadata by id.
    """

    metadata: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    titled: Changes = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metadata) + len(self.titled)


def changed_documents(catalog: ReadableCatalog, changes: Changes) -> Changed:
    """Join changes with the metadata that is stored.

    Args:
        catalog: Of the index that is written.
        changes: Fields by id, checked.

    Returns:
        What becomes of the documents; those that stay the same are left out.

    Raises:
        InputError: A document is not stored, or its metadata would become too large.
    """
    changed = Changed()
    for chunk, stored in _stored(catalog, changes):
        for document_id in chunk:
            if document_id not in stored:
                raise InputError(
                    f"Document id {document_id!r} is not in the index. Leave it out, or add it first; nothing was changed."
                )
            document = stored[document_id]
            fields = _merged(document, changes[document_id])
            if _written(fields) == _written(document.metadata):
                continue
            if document.text is None or _encoded(document, fields) == _encoded(document, document.metadata):
                changed.metadata.append((document.row, fields))
            else:
                changed.titled[document_id] = fields
    return changed


def titled_documents(catalog: ReadableCatalog, titled: Changes) -> Iterator[Document]:
    """The documents to encode again, read from the catalog as they are asked for.

    Args:
        catalog: Of the index that is written.
        titled: Their new metadata by id.

    Returns:
        The documents, in order.
    """
    for chunk, stored in _stored(catalog, titled):
        for document_id in chunk:
            yield Document(document_id, stored[document_id].text or "", titled[document_id])


def _stored(catalog: ReadableCatalog, changes: Changes) -> Iterator[tuple[list[str], dict[str, StoredDocument]]]:
    """Ids, some at a time, with those of their documents that are stored."""
    ids = iter(changes)
    while chunk := list(islice(ids, _CHUNK)):
        found = catalog.documents(catalog.rows_of(chunk).values())
        yield chunk, {document.id: document for document in found.values()}


def _merged(document: StoredDocument, changes: Mapping[str, Any]) -> dict[str, Any]:
    if "text" in changes and document.text is not None and "text" not in document.metadata:
        raise InputError(
            f"Document {document.id!r}: `text` is no metadata of it but what was encoded. Use update to replace the document."
        )
    fields = {**document.metadata, **changes}
    fields = {name: value for name, value in fields.items() if value is not None or name not in changes}
    return checked_metadata(fields, "changes", document.id)


def _encoded(document: StoredDocument, fields: dict[str, Any]) -> str:
    return Document(document.id, document.text or "", fields).encoded_text


def _written(fields: dict[str, Any]) -> str:
    return json.dumps(fields)  # tells 1, 1.0 and True apart, which are equal
