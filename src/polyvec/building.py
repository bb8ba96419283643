"""A source of documents -> a complete index, resumably: what was committed before an interruption is not encoded again.

Until the last document is in and the index is compressed, nobody can open it; a build that stored nothing leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from polyvec.collection import Index
from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.folder import remove_folder
from polyvec.index.writer import AddReport

if TYPE_CHECKING:
    from polyvec.encoder import Encoder

COMMIT_SECONDS = 30.0  # work that an interruption can cost, at most


def build_index(
    documents: Iterable[Document],
    path: Path,
    *,
    encoder: Encoder,
    nbits: int,
    source: str,
    progress: Callable[[int], None] | None = None,
    commit_seconds: float = COMMIT_SECONDS,
) -> tuple[Index, AddReport]:
    """Index every document of a stream, committing as it goes; run again with the same source to resume.

    Returns the open index and what this run did: documents that an earlier run stored count as skipped.
    Raises InputError for an empty stream or a document that cannot be stored; StorageError where `path` is taken.
    """
    index = Index.create_resumable(path, encoder=encoder, nbits=nbits, source=source)
    report = AddReport()
    try:
        for part in _parts(iter(documents), commit_seconds):
            done = index.add(part, existing="skip", progress=progress)
            report.added += done.added
            report.skipped += done.skipped
            report.tokens += done.tokens
            report.truncated += done.truncated
        if not len(index):
            raise InputError(f"{source}: no documents. Expected at least one with an id and a text.")
        index.finish()
    except BaseException:
        stored = len(index)
        index.close()
        if not stored:
            remove_folder(path)
        raise
    return index, report


def _parts(documents: Iterator[Document], seconds: float) -> Iterator[Iterator[Document]]:
    """Split a stream into parts that each take about `seconds` to consume."""
    for first in documents:
        yield _until(first, documents, time.monotonic() + seconds)


def _until(first: Document, rest: Iterator[Document], deadline: float) -> Iterator[Document]:
    yield first
    while time.monotonic() < deadline:
        document = next(rest, None)
        if document is None:
            return
        yield document
