"""Documents with their token vectors, on their way into the index: one at a time, and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.index.catalog.catalog import StoredDocument
from polyvec.index.upkeep.policy import BUFFER_TOKENS


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One document on its way into the index.

    Attributes:
        document: As it is stored.
        vectors: (t, d) float32 unit rows, t >= 1.
        truncated: Whether the model left out the end of its text.
        has_text: Whether its text is stored; not where it came with vectors of its own.
    """

    document: Document
    vectors: npt.NDArray[np.float32]
    truncated: bool = False
    has_text: bool = True


class HasId(Protocol):
    """What is to be stored, with or without vectors of its own."""

    @property
    def id(self) -> str:
        """The document's id."""


D = TypeVar("D", bound=HasId)
Encode = Callable[[Iterator[D]], Iterator[Arrival]]


def in_batches(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    """Group the stream so that a batch holds about BUFFER_TOKENS token vectors."""
    batch: list[Arrival] = []
    tokens = 0
    for arrival in arrivals:
        batch.append(arrival)
        tokens += len(arrival.vectors)
        if tokens >= BUFFER_TOKENS:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def tokens_of(batch: list[Arrival]) -> int:
    """How many token vectors a batch holds."""
    return sum(len(arrival.vectors) for arrival in batch)


def as_stored(batch: list[Arrival], rows: Iterable[int]) -> Iterator[StoredDocument]:
    """What the catalog stores of a batch whose documents get these rows."""
    for row, arrival in zip(rows, batch, strict=True):
        document = arrival.document
        text = document.text if arrival.has_text else None
        yield StoredDocument(row, document.id, text, document.metadata, len(arrival.vectors), arrival.truncated)
