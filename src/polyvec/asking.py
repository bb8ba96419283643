"""Texts -> queries ready to search, each able to explain its hits later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from polyvec.errors import InputError
from polyvec.explain import Explanation, explain
from polyvec.index.options import SearchOptions
from polyvec.index.reader import Snapshot
from polyvec.search import Asked

if TYPE_CHECKING:
    from polyvec.encoder import Encoded, Encoder

GetEncoder = Callable[[], "Encoder"]


def asked_texts(
    texts: Sequence[str], options: SearchOptions, encoder: GetEncoder, snapshot: Snapshot
) -> Iterator[Asked]:
    """Encode queries; where only keywords count, the model loads no earlier than a hit is to be explained.

    Raises InputError for an empty query.
    """
    if options.mode == "keyword":
        for i, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"query {i} is empty. Leave it out, or give it a text.")
            yield Asked(text=text, explain=partial(_explain, encoder, snapshot, text, None))
        return
    for text, one in zip(texts, encoder().encode_queries(texts), strict=True):
        yield Asked(text=text, vectors=one.vectors, explain=partial(_explain, encoder, snapshot, text, one))


def _explain(
    encoder: GetEncoder, snapshot: Snapshot, query: str, encoded: Encoded | None, row: int, text: str
) -> Explanation:
    if encoded is None:
        (encoded,) = encoder().encode_queries([query])
    (document,) = encoder().encode_documents([text])
    stored = snapshot.vectors(row)
    if document.offsets is not None and len(stored) == len(document.vectors):
        document = replace(document, vectors=stored)  # so that the matches add up to the late score
    return explain(query, encoded, text, document)
