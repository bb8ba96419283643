"""A source of documents -> a complete index, resumably: what was committed before an interruption is not encoded again.

Until the last document is in and the index is compressed, nobody can open it; a build that stored nothing leaves nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from polyvec.arguments import function, local_path, number, token_encoder
from polyvec.collection.index import Index
from polyvec.collection.writing import process_count
from polyvec.data import Document, as_documents
from polyvec.data.text import checked_text
from polyvec.errors import InputError
from polyvec.index.folder import remove_folder
from polyvec.index.writing.report import AddReport

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

COMMIT_SECONDS = 30.0  # work that an interruption can cost, at most
_CHUNK = 256  # documents compared at once with what is stored


def build_index(
    documents: Iterable[Document | Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    encoder: TokenEncoder,
    nbits: int,
    source: str,
    progress: Callable[[int], None] | None = None,
    commit_seconds: float = COMMIT_SECONDS,
    processes: int = 1,
) -> tuple[Index, AddReport]:
    """Index every document of a stream, committing as it goes; run again with the same source to resume.

    What an earlier run stored is not taken on trust: a document is left as it is where id, text and metadata are the same,
    replaced where they differ, and deleted where it does not come again. So the index holds what the last run was given,
    whatever the source did in between, a pipe too.

    Args:
        documents: Any iterable of documents, or of dicts with id, text and any other fields; it is streamed.
        path: Folder of the new index, or of one whose building was interrupted.
        encoder: The model that turns texts into token vectors.
        nbits: Bits a dimension of a stored token vector: 1, 2, 4, 8 or 16. Those of the last run count.
        source: What the documents are read from, in words that are the same when the build is resumed.
        progress: Called with the number of documents just encoded.
        commit_seconds: About how much work an interruption can cost, at most.
        processes: Processes that encode, as `Index.add` has it.

    Returns:
        The open index, and what this run did: documents that an earlier run stored count as skipped.

    Raises:
        InputError: The stream is empty, an id comes twice, or a document cannot be stored.
        ModelError: One of several processes ended early.
        StorageError: The path is taken, or cannot be written.
    """
    function("progress", progress)
    checked_text(source, "source")
    token_encoder("encoder", encoder)
    most_seconds = number("commit_seconds", commit_seconds, "seconds, at least 0", lambda seconds: seconds >= 0)
    process_count(processes)
    given = as_documents(documents)
    from polyvec.encoder.in_processes import encoding_in

    index = Index.create_resumable(local_path("path", path), encoder=encoder, nbits=nbits, source=source)
    report = AddReport()
    seen: set[str] = set()
    try:
        resumed = len(index) > 0
        waiting = _changed(index, given, seen, report) if resumed else _distinct(given, seen)
        with encoding_in(encoder, processes) as several:
            for part in _parts(waiting, most_seconds):
                done = index._add(part, several, "replace", progress)
                report.added += done.added
                report.replaced += done.replaced
                report.tokens += done.tokens
                report.truncated += done.truncated
        if not seen:
            raise InputError(f"{source}: no documents. Expected at least one with an id and a text.")
        if resumed:
            report.deleted = index.delete([document.id for document in index.documents() if document.id not in seen])
        index.finish()
    except BaseException:
        stored = len(index)
        index.close()
        if not stored:
            remove_folder(index.path)
        raise
    return index, report


def _distinct(documents: Iterable[Document], seen: set[str]) -> Iterator[Document]:
    """The documents as they come, their ids remembered. Raises InputError for an id that comes twice."""
    for document in documents:
        if document.id in seen:
            raise InputError(
                f"Document id {document.id!r} comes twice in this input. Ids name one document each: make them unique."
            )
        seen.add(document.id)
        yield document


def _changed(index: Index, documents: Iterable[Document], seen: set[str], report: AddReport) -> Iterator[Document]:
    """Those documents that an earlier run did not store as they are now; the others are counted as skipped."""
    distinct = _distinct(documents, seen)
    while chunk := list(islice(distinct, _CHUNK)):
        for document, stored in zip(chunk, index.get([document.id for document in chunk]), strict=True):
            if stored is not None and _content(stored) == _content(document):
                report.skipped += 1
            else:
                yield document


def _content(document: Document) -> tuple[str, str]:
    """What must be equal for two documents of one id to be the same; in JSON 1, 1.0 and true differ."""
    return document.text, json.dumps(document.metadata, sort_keys=True)


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
