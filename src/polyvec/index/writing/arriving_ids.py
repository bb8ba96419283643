"""Ids on their way into the index: which of them are new, and what becomes of those that are stored already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from polyvec.errors import InputError
from polyvec.index.writing.arrivals import D
from polyvec.index.writing.report import AddReport, Existing

_CHECK_CHUNK = 256  # ids read from the catalog at once


@dataclass
class ArrivingIds:
    """Refuses, replaces or skips ids that are stored already, before anything is spent on encoding their documents.

    Attributes:
        rows_of: Finds the rows of ids that are stored.
        first_new: The first row of this call.
        existing: What to do with an id that is stored already.
        report: Counts those that are skipped.
        in_flight: Ids that were passed on and are not stored yet.
    """

    rows_of: Callable[[Iterable[str]], dict[str, int]]
    first_new: int
    existing: Existing
    report: AddReport
    in_flight: set[str] = field(default_factory=set)

    def checked(self, documents: Iterable[D]) -> Iterator[D]:
        """Pass documents on.

        Raises InputError for an id that comes twice in the stream, or is stored already (existing="error").
        """
        iterator = iter(documents)
        while chunk := list(islice(iterator, _CHECK_CHUNK)):
            stored = self.rows_of(document.id for document in chunk)
            before: set[str] = set()  # ids of this chunk, which may be stored by now and are not in `stored`
            for document in chunk:
                document_id = document.id
                row = stored.get(document_id)
                if (
                    document_id in before
                    or document_id in self.in_flight
                    or (row is not None and row >= self.first_new)
                ):
                    raise InputError(
                        f"Document id {document_id!r} comes twice in this input. Ids name one document each: make them "
                        "unique. Nothing of this call was added."
                    )
                if row is not None and self.existing == "error":
                    raise InputError(
                        f"Document id {document_id!r} is in the index already. Use update to replace documents. "
                        "Nothing of this call was added."
                    )
                if row is not None and self.existing == "skip":
                    self.report.skipped += 1
                    continue
                before.add(document_id)
                self.in_flight.add(document_id)
                yield document
