"""Files of any accepted kind -> queries, one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from polyvec.data.files import STDIN, as_path, kind_of, kinds, named, opened, text_lines
from polyvec.data.json_lines import json_lines
from polyvec.data.parquet import parquet_rows
from polyvec.data.tables import check_columns, table_rows, typed_value
from polyvec.errors import InputError

KINDS = ".jsonl, .ndjson, .csv, .tsv or .txt (each also .gz or .zst), .parquet, or - for one a line on stdin"
_ACCEPTED = kinds(".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet")
_NEEDED = (("id", "_id"), ("text",))
_ID_NAMES = ("id", "_id", "qid", "query_id", "query-id", "queryid")  # a first field that can only be a header's


@dataclass(frozen=True, slots=True)
class Query:
    """A question with an id, and its language where that is known."""

    id: str
    text: str
    lang: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def read_queries(path: str | os.PathLike[str]) -> Iterator[Query]:
    """Stream queries; the kind follows from the name.

    JSON lines, CSV and parquet have fields `_id` (or `id`), `text`, and perhaps `lang`. TSV has either a first line that names
    `id` and `text`, or none and then an id, a tab and the text a line. Text files and stdin have one query a line, whose id
    is the number of the line.

    Args:
        path: A file, or "-" for stdin.

    Raises:
        InputError: An unknown kind, a broken file, a missing id or text, an id seen before; the message names file and line.
    """
    place = as_path(path, f"a file of queries: {KINDS}")
    return _distinct(place)


def _distinct(path: Path) -> Iterator[Query]:
    seen: set[str] = set()
    for query, where in _read(path):
        if query.id in seen:
            raise InputError(f"{where}: query id {query.id!r} comes twice. Make ids unique.")
        seen.add(query.id)
        yield query


def _read(path: Path) -> Iterator[tuple[Query, str]]:
    if str(path) != STDIN and path.is_dir():
        raise InputError(f"{named(path)}: is a folder. Expected a file of queries: {KINDS}.")
    kind = "text" if str(path) == STDIN else kind_of(path, _ACCEPTED, KINDS)
    if kind == "parquet":
        for row, where in parquet_rows(path, _NEEDED):
            yield _query_of(row, where), where
        return
    name = "stdin" if str(path) == STDIN else named(path)
    with opened(path) as stream:
        if kind == "tsv":
            yield from _tabbed(stream, name)
        elif kind == "text":
            yield from _plain(stream, name)
        else:
            rows = (
                json_lines(stream, name)
                if kind == "json lines"
                else table_rows(stream, name, kind, _NEEDED, typed=True)
            )
            for row, where in rows:
                yield _query_of(row, where), where


def _plain(stream: BinaryIO, name: str) -> Iterator[tuple[Query, str]]:
    for text, where in text_lines(stream, name):
        if not text.strip():
            continue
        if text.startswith("{") and _is_json_row(text):
            raise InputError(
                f"{where}: an object of JSON, where each line is a question as it stands. Name the file .jsonl."
            )
        yield Query(where.rpartition(":")[2], text), where


def _is_json_row(text: str) -> bool:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "text" in row


def _tabbed(stream: BinaryIO, name: str) -> Iterator[tuple[Query, str]]:
    columns: list[str] | None = None
    first = True
    for line, where in text_lines(stream, name):
        if not line.strip():
            continue
        if first:
            first = False
            columns = _header(line, where)
            if columns is not None:
                continue
        if columns is None:
            query_id, tab, text = line.partition("\t")
            if not tab:
                raise InputError(f"{where}: {line[:60]!r}, expected an id, a tab and the query's text.")
            yield _query_of({"id": query_id, "text": text}, where), where
            continue
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InputError(f"{where}: another number of fields ({len(fields)}) than the header's {len(columns)}.")
        row = {
            key: value if key in ("id", "_id", "text", "lang") else typed_value(value)
            for key, value in zip(columns, fields, strict=True)
            if value
        }
        yield _query_of(row, where), where


def _header(line: str, where: str) -> list[str] | None:
    """The columns, where the line names an id and a text; None for a line that is a query."""
    columns = [column.strip() for column in line.split("\t")]
    if "text" in columns and {"id", "_id"} & set(columns):
        check_columns(columns, where)
        return columns
    if columns[0].lower() in _ID_NAMES:
        raise InputError(
            f"{where}: a header of columns {', '.join(columns)[:200]}. Expected id and text, or no header."
        )
    return None


def _query_of(row: dict[str, Any], where: str) -> Query:
    query_id, text = row["_id"] if "_id" in row else row.get("id"), row.get("text")
    if isinstance(query_id, int) and not isinstance(query_id, bool):
        query_id = str(query_id)
    if not isinstance(query_id, str) or not query_id.strip() or not isinstance(text, str) or not text.strip():
        shown = f"{str(query_id)[:60]!r} and {str(text)[:60]!r}"
        raise InputError(f"{where}: a query needs a non-empty `_id` and `text`, got {shown}.")
    lang = row.get("lang")
    if lang is not None and not isinstance(lang, str):
        raise InputError(f"{where}: lang {str(lang)[:60]!r} of query {query_id!r}, expected a string such as 'de'.")
    rest = {key: value for key, value in row.items() if key not in ("_id", "id", "text", "lang")}
    return Query(query_id, text, lang or None, rest)
