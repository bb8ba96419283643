"""What a caller hands over -> arrivals for the writer: documents encoded on the way, or ids with vectors of their own.

Streams; knows nothing about files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.writer import Arrival

if TYPE_CHECKING:
    from polyvec.encoder import Encoder


def encoded_documents(
    encoder: Encoder, documents: Iterable[Document], progress: Callable[[int], None] | None
) -> Iterator[Arrival]:
    """Pair the stream of documents with the stream of their encodings, whatever the encoder reads ahead."""
    waiting: deque[Document] = deque()

    def texts() -> Iterator[str]:
        for document in documents:
            waiting.append(document)
            yield document.encoded_text

    stream = iter(texts())
    first = next(stream, None)
    if first is None:
        return
    for encoded in encoder.encode_documents(chain([first], stream), progress=progress):
        yield Arrival(
            document=waiting.popleft(),
            vectors=encoded.vectors,
            token_ids=encoded.token_ids,
            truncated=encoded.truncated,
        )


def paired_vectors(
    ids: Iterable[str], vectors: Iterable[npt.ArrayLike], metadata: Iterable[Mapping[str, Any]] | None
) -> Iterator[tuple[Document, npt.ArrayLike]]:
    """Ids, arrays and metadata in step. Raises InputError where one of them ends early."""
    end: Any = object()
    columns: list[Iterator[Any]] = [iter(ids), iter(vectors)]
    if metadata is not None:
        columns.append(iter(metadata))
    n = 0
    while True:
        values = [next(column, end) for column in columns]
        if all(value is end for value in values):
            return
        if any(value is end for value in values):
            names = ["ids", "vectors", "metadata"][: len(values)]
            short = [name for name, value in zip(names, values, strict=True) if value is end]
            raise InputError(
                f"{' and '.join(short)} ended after {n} entries while the others go on. Give one of each a document."
            )
        if not isinstance(values[0], str) or not values[0]:
            raise InputError(f"id {values[0]!r} (entry {n}): expected a non-empty string.")
        yield Document(values[0], "", dict(values[2]) if metadata is not None else {}), values[1]
        n += 1
