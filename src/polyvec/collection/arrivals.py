"""What a caller hands over -> arrivals for the writer, and queries for the search: each of them checked, once, here.

Documents are encoded on the way, or come with vectors of their own. Streams; knows nothing about files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from polyvec.arguments import list_of, real_array
from polyvec.data import Document
from polyvec.data.document import checked_id
from polyvec.data.metadata import checked_metadata
from polyvec.data.text import checked_query
from polyvec.errors import InputError
from polyvec.index.writing.arrivals import Arrival
from polyvec.index.writing.vectors import all_checked, checked_vectors
from polyvec.search.retrieve import PreparedQuery

if TYPE_CHECKING:
    from polyvec.encoder.in_processes import EncodesDocuments

_TOGETHER, _TOGETHER_TOKENS = 64, 1 << 14  # arrivals, and their vectors, that are checked at once


def encoded_documents(
    encoder: EncodesDocuments, documents: Iterable[Document], *, progress: Callable[[int], None] | None, dim: int
) -> Iterator[Arrival]:
    """Pair the stream of documents with the stream of their encodings, whatever the encoder reads ahead.

    Args:
        encoder: The model.
        documents: What to encode.
        progress: Called with the number of documents just encoded.
        dim: Dimensions that the index holds.

    Returns:
        One arrival a document, in order.

    Raises:
        InputError: An encoding is not what an index of this dim can hold.
    """
    waiting: deque[Document] = deque()

    def texts() -> Iterator[str]:
        for document in documents:
            waiting.append(document)
            yield document.encoded_text

    stream = iter(texts())
    first = next(stream, None)
    if first is None:
        return
    encodings = encoder.stream_documents(chain([first], stream), progress=progress)
    arrivals = (
        Arrival(
            document=waiting.popleft(),
            vectors=encoded.vectors,
            truncated=encoded.truncated,
        )
        for encoded in encodings
    )
    yield from _with_unit_rows(arrivals, dim, "vectors that the encoder made of document")


class DocumentWithVectors(NamedTuple):
    """A document that comes with vectors of its own.

    Attributes:
        document: The document, checked.
        vectors: (t, dim), of any real dtype, not checked yet.
    """

    document: Document
    vectors: npt.NDArray[Any]

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id


def given_vectors(documents: Iterable[DocumentWithVectors], *, dim: int) -> Iterator[Arrival]:
    """Arrivals of documents that come with vectors of their own.

    Args:
        documents: What to store.
        dim: Dimensions that the index holds.

    Returns:
        One arrival a document, in order.

    Raises:
        InputError: Vectors cannot be stored: a wrong shape, no rows, or a row that is all zeros or not finite.
    """
    arrivals = (Arrival(document=one.document, vectors=one.vectors, has_text=False) for one in documents)
    return _with_unit_rows(arrivals, dim, "vectors of document")


def _with_unit_rows(arrivals: Iterator[Arrival], dim: int, what: str) -> Iterator[Arrival]:
    """Arrivals whose vectors are checked, some at a time. what: how they are called in a message, before the id."""
    for group in _groups(arrivals):
        names = partial(_name, group, what)
        for arrival, vectors in zip(group, all_checked([a.vectors for a in group], dim=dim, name=names), strict=True):
            yield arrival if vectors is arrival.vectors else replace(arrival, vectors=vectors)


def _name(group: list[Arrival], what: str, place: int) -> str:
    return f"{what} {group[place].document.id!r}"


def _groups(arrivals: Iterator[Arrival]) -> Iterator[list[Arrival]]:
    """Up to 64 arrivals at a time, fewer where they are long."""
    group: list[Arrival] = []
    tokens = 0
    for arrival in arrivals:
        group.append(arrival)
        tokens += arrival.vectors.shape[0] if arrival.vectors.ndim else 0
        if len(group) == _TOGETHER or tokens >= _TOGETHER_TOKENS:
            yield group
            group, tokens = [], 0
    if group:
        yield group


def paired_vectors(
    ids: Iterable[str], vectors: Iterable[npt.ArrayLike], metadata: Iterable[Mapping[str, Any] | None] | None
) -> Iterator[DocumentWithVectors]:
    """Ids, arrays and metadata in step.

    Args:
        ids: One a document.
        vectors: One array (t, dim) a document.
        metadata: One dict or None a document; None for no metadata at all.

    Returns:
        The documents with their vectors, in order, as the iterables give them.

    Raises:
        InputError: One of them is no list, which is said at once, or ends before the others.
    """
    columns = {"ids": list_of("ids", ids, ordered=True), "vectors": list_of("vectors", vectors, ordered=True)}
    if metadata is not None:
        columns["metadata"] = list_of("metadata", metadata, ordered=True)
    return _in_step(columns)


def _in_step(columns: dict[str, Iterable[Any]]) -> Iterator[DocumentWithVectors]:
    end: Any = object()
    iterators = [iter(column) for column in columns.values()]
    held = all(type(column) in (list, tuple, np.ndarray) for column in columns.values())
    n = 0
    while True:
        values = [next(iterator, end) for iterator in iterators]
        if all(value is end for value in values):
            return
        if any(value is end for value in values):
            short = [name for name, value in zip(columns, values, strict=True) if value is end]
            raise InputError(
                f"{' and '.join(short)} ended after {n} entries while the others go on. Give one of each a document."
            )
        where = f"entry {n}"
        document_id = checked_id(values[0], where)
        fields = {} if len(values) == 2 else checked_metadata(values[2], where, document_id)
        given = values[1]
        array = given if type(given) is np.ndarray else real_array(f"vectors of document {document_id!r}", given)
        document = Document(document_id, "", fields)
        # A generator may fill one array again and again; lists hold all of theirs at once, and nobody's code runs in between.
        yield DocumentWithVectors(document, array if held else array.copy())
        n += 1


def query_texts(query: str | Sequence[str]) -> tuple[list[str], bool]:
    """The questions in what a caller asks.

    Args:
        query: One question, or a list of them.

    Returns:
        The questions, and whether a single one was asked.

    Raises:
        InputError: A question is empty, no text, no valid Unicode, or too long; the message says which.
    """
    single = isinstance(query, str)
    texts = [query] if single else list_of("queries", query)
    return [checked_query(text, f"query {i}") for i, text in enumerate(texts)], single


def encoded_queries(asked: Iterable[PreparedQuery], *, dim: int) -> Iterator[PreparedQuery]:
    """Queries whose vectors, where an encoder made some, are what an index of this dim can be searched with.

    Args:
        asked: Queries as they come from the encoder.
        dim: Dimensions that the index holds.

    Returns:
        The same queries, with unit rows.

    Raises:
        InputError: The encoder made vectors of another dim, none, or some that are not finite.
    """
    for i, query in enumerate(asked):
        if query.vectors is None:
            yield query
            continue
        vectors = checked_vectors(query.vectors, dim=dim, name=f"vectors that the encoder made of query {i}")
        yield query if vectors is query.vectors else replace(query, vectors=vectors)
