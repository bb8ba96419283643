"""Documents of Haystack <-> documents and hits of polyvec.

Metadata is stored as it is. What else a document of Haystack has, and its dates as numbers, is stored in one more field, which is
taken out again on the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack import Document as HaystackDocument

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.integrations.haystack.dates import moments_in
from polyvec.search.hits import Hit

FIELD = "_haystack"
CLOCK_FIELD, UTC_FIELD = f"{FIELD}.clock", f"{FIELD}.utc"  # dates by name, as `dates.Moment` has them
_PARTS = ("blob", "score", "embedding", "sparse_embedding")


def row_of(document: HaystackDocument) -> Document:
    """A document to store.

    Raises:
        InputError: It has no content, or a field of the metadata has the name that is needed here.
    """
    content = document.content
    if content is None or not content.strip():
        raise InputError(f"Document {document.id!r} has no content. Expected a text: it is what the index finds it by.")
    if FIELD in document.meta:
        raise InputError(
            f"Document {document.id!r} has a field {FIELD!r}, which the store keeps for itself. Rename it."
        )
    hidden = {**_dates(document.meta), **_parts(document)}
    return Document(document.id, content, {**document.meta, FIELD: hidden} if hidden else document.meta)


def document_of_stored(document: Document) -> HaystackDocument:
    """A stored document as it was written."""
    return _document(document.id, document.text, document.metadata, None)


def document_of_hit(hit: Hit, *, scaled: bool) -> HaystackDocument:
    """A hit as a document with a score.

    Args:
        scaled: Whether the score is normalized, from 0 to 1; a hit of mode keyword has no such score.

    Raises:
        InputError: The hit has no normalized score.
    """
    if scaled and hit.normalized_score is None:
        raise InputError("BM25 has no upper bound, so mode='keyword' has no scaled scores. Leave scale_score out.")
    return _document(hit.id, hit.text or "", hit.metadata, hit.normalized_score if scaled else hit.score)


def dates_of(meta: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The hidden field of a document whose metadata has changed.

    Args:
        meta: All of its metadata.
        before: The hidden field until now.
    """
    kept = {name: before[name] for name in _PARTS if name in before}
    return {**_dates(meta), **kept}


def _dates(meta: Mapping[str, Any]) -> dict[str, Any]:
    moments = dict(moments_in(meta))
    if not moments:
        return {}
    clock = {name: moment.clock for name, moment in moments.items()}
    utc = {name: moment.utc for name, moment in moments.items() if moment.utc is not None}
    return {"clock": clock, "utc": utc} if utc else {"clock": clock}


def _parts(document: HaystackDocument) -> dict[str, Any]:
    if all(getattr(document, name) is None for name in _PARTS):
        return {}
    whole = document.to_dict(flatten=False)
    return {name: whole[name] for name in _PARTS if whole[name] is not None}


def _document(id: str, text: str, metadata: Mapping[str, Any], score: float | None) -> HaystackDocument:
    meta = dict(metadata)
    hidden = meta.pop(FIELD, {})
    parts = {name: hidden[name] for name in _PARTS if name in hidden}
    if not parts:
        return HaystackDocument(id=id, content=text, meta=meta, score=score)
    if score is not None:
        parts["score"] = score
    return HaystackDocument.from_dict({"id": id, "content": text, "meta": meta, **parts})
