"""Files, folders and streams of any accepted kind -> documents, one at a time.

Knows nothing about models or indexes. Every refusal names the place: file, line, field. docs/files.md states the rules.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from polyvec.arguments import flag, function
from polyvec.data.document import Document, checked_document, document_of
from polyvec.data.files import (
    MAX_LINE_BYTES,
    STDIN,
    Progress,
    as_path,
    decoded,
    kind_of,
    kinds,
    named,
    opened,
)
from polyvec.data.json_lines import json_lines
from polyvec.data.parquet import parquet_rows
from polyvec.data.tables import table_rows
from polyvec.errors import InputError

KINDS = (
    ".jsonl, .ndjson, .csv or .tsv (each also .gz or .zst), .parquet, a folder of .txt and .md files, a BEIR folder, "
    "or - for JSON lines on stdin"
)
_ACCEPTED = kinds(".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_NEEDED = (("id", "_id"), ("text",))

log = logging.getLogger(__name__)


@dataclass
class _Empty:
    """Documents that have neither a text nor a title."""

    count: int = 0
    first: str = ""


def read_documents(
    path: str | os.PathLike[str], *, progress: Progress | None = None, typed: bool = True, warn: bool = True
) -> Iterator[Document]:
    """Stream documents from a file, folder or stdin ("-"); the kind follows from the name.

    A document with a title and no text has its title as text. One with neither is left out; one warning counts them.
    Memory: one document, and the set of ids seen.

    Args:
        path: A file, a folder, or "-".
        progress: Called with the number of bytes just read.
        typed: Whether numbers and booleans in CSV and TSV become such (`polyvec.data.tables.typed_value`).
        warn: Whether documents that are left out are counted in a warning.

    Returns:
        The documents, in order.

    Raises:
        InputError: An unknown kind, a broken file, a missing id or text, an id seen before, or no document at all;
            the message names file and line.
    """
    function("progress", progress)
    place = as_path(path, f"a file or folder of documents: {KINDS}")
    return _distinct(place, progress or (lambda n: None), flag("typed", typed), flag("warn", warn))


def _distinct(path: Path, progress: Progress, typed: bool, warn: bool) -> Iterator[Document]:
    seen: set[str] = set()
    empty = _Empty()
    for document, where in placed_documents(path, progress, typed=typed):
        if document.id in seen:
            raise InputError(
                f"{where}: document id {document.id!r} comes twice. Ids name one document each: make them unique."
            )
        seen.add(document.id)
        if document.text:
            yield document
            continue
        empty.count += 1
        empty.first = empty.first or repr(document.id)
    if len(seen) == empty.count:
        what = f"every document is empty; the text of document {empty.first} is empty" if seen else "no documents in it"
        raise InputError(f"{named(path)}: {what}. Expected at least one with a text, as {KINDS}.")
    if empty.count and warn:
        log.warning(
            "%s: %s of %s documents have neither text nor title and are left out, %s first.",
            named(path), f"{empty.count:,}", f"{len(seen):,}", empty.first,
        )  # fmt: skip


def placed_documents(path: Path, progress: Progress, *, typed: bool = True) -> Iterator[tuple[Document, str]]:
    """Stream documents with their places, for readers of several files at once, who see themselves to ids that come twice.

    Args:
        path: As `read_documents` takes it.
        progress: Called with the number of bytes just read.
        typed: As `read_documents` has it.

    Returns:
        Documents and where each stands; those to be left out have an empty text. There may be none.

    Raises:
        InputError: An unknown kind, a broken file, a missing id or text; the message names file and line.
    """
    if str(path) != STDIN and path.is_dir():
        corpus = beir_file(path, "corpus")
        if corpus is None:
            yield from _read_folder(path, progress)
            return
        path = corpus
    kind = "json lines" if str(path) == STDIN else kind_of(path, _ACCEPTED, KINDS)
    if kind == "parquet":
        rows = parquet_rows(path, _NEEDED)
        yield from _documents((_without_empty_cells(row), where) for row, where in rows)
        return
    name = "stdin" if str(path) == STDIN else named(path)
    with opened(path) as stream:
        if kind == "json lines":
            yield from _documents(json_lines(stream, name, progress))
        else:
            yield from _documents(table_rows(stream, name, kind, _NEEDED, typed=typed, progress=progress))


def beir_file(folder: Path, what: str) -> Path | None:
    """corpus.jsonl or queries.jsonl of a BEIR folder, plain or compressed; None where there is none."""
    for ending in ("", ".gz", ".zst"):
        path = folder / f"{what}.jsonl{ending}"
        if path.is_file():
            return path
    return None


def _without_empty_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A null in a table says that this row has no such field; a null text is an empty one."""
    return {key: value for key, value in row.items() if value is not None or key == "text"}


def _documents(rows: Iterable[tuple[Mapping[str, Any], str]]) -> Iterator[tuple[Document, str]]:
    for row, where in rows:
        text = row.get("text", 0)
        if text is not None and not (isinstance(text, str) and not text.strip()):
            yield document_of(row, where), where
            continue
        whole = document_of({**row, "text": "-"}, where)  # everything but the text is checked
        title = whole.metadata.get("title")
        if isinstance(title, str) and title.strip():
            rest = {key: value for key, value in whole.metadata.items() if key != "title"}
            yield checked_document(whole.id, title, rest, where), where
        else:
            yield Document(whole.id, "", {}), where


def _read_folder(folder: Path, progress: Progress) -> Iterator[tuple[Document, str]]:
    """Each .txt and .md file below a folder: its id is the relative path, its title the first heading or the file's name.

    Hidden files and folders, whose names begin with a dot, are passed over; links to folders are not followed.
    """
    for path in sorted(_text_files(folder)):
        where = named(path)
        data = _bytes(path)
        progress(len(data))
        text = decoded(data, where, first=True).replace("\r\n", "\n").replace("\r", "\n")
        heading = next((line.lstrip("# ").strip() for line in text.split("\n") if line.startswith("# ")), "")
        title = heading if path.suffix.lower() == ".md" and heading else path.stem
        identifier = normalize("NFC", path.relative_to(folder).as_posix())
        if not text.strip():
            text, title = "-", ""
        document = checked_document(identifier, text, {"title": title}, where)
        yield document if title else Document(document.id, "", {}), where


def _text_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{named(error.filename)}: cannot be read ({error.strerror}).") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if not name.startswith(".") and Path(place, name).is_symlink()]
        if linked:
            log.warning("%s: a link to a folder, which is not followed.", named(Path(place, linked[0])))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in (".txt", ".md") and path.is_file():
                yield path


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_LINE_BYTES:
            raise InputError(
                f"{named(path)}: a file of over {MAX_LINE_BYTES // 2**20} MB. Expected one document a file."
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{named(path)}: cannot be read ({error.strerror}).") from error
