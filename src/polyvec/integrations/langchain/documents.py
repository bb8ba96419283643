"""Hits and stored documents of polyvec <-> documents of LangChain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document as LangChainDocument

from polyvec.data import Document
from polyvec.search.hits import Hit


def document_of_hit(hit: Hit) -> LangChainDocument:
    """A hit's text, metadata and id."""
    return LangChainDocument(id=hit.id, page_content=hit.text or "", metadata=dict(hit.metadata))


def document_of_stored(document: Document) -> LangChainDocument:
    """A stored document's text, metadata and id."""
    return LangChainDocument(id=document.id, page_content=document.text, metadata=dict(document.metadata))


def ids_of(documents: Sequence[LangChainDocument], ids: Sequence[str | None] | None) -> list[str]:
    """An id for each document: the one given beside it, its own, or a new one.

    Raises:
        ValueError: Another number of ids than of documents.
    """
    if ids is not None and len(ids) != len(documents):
        raise ValueError(f"ids: got {len(ids)} for {len(documents)} documents. Give one id a document, or none at all.")
    given: Iterable[Any] = ids if ids is not None else [None] * len(documents)
    return [str(one or document.id or uuid4()) for one, document in zip(given, documents, strict=True)]


def rows_of(documents: Sequence[LangChainDocument], ids: Sequence[str]) -> list[Document]:
    """Documents to store. Where an id comes twice, the last document with it counts, as if they had come one by one."""
    last = dict(zip(ids, documents, strict=True))
    return [Document(id, document.page_content, document.metadata) for id, document in last.items()]
