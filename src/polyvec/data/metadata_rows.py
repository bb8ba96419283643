"""A file of ids and fields -> changes of metadata by id. The texts that rows have are passed over.

Knows nothing about models or indexes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyvec.arguments import flag
from polyvec.data.document import document_of
from polyvec.data.files import STDIN, as_path, kind_of, kinds, named, opened
from polyvec.data.json_lines import json_lines
from polyvec.data.parquet import parquet_rows
from polyvec.data.tables import table_rows
from polyvec.errors import InputError

_KINDS = ".jsonl, .ndjson, .csv or .tsv (each also .gz or .zst), .parquet, or - for JSON lines on stdin"
_ACCEPTED = kinds(".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_NEEDED = (("id", "_id"),)


def read_metadata(path: str | os.PathLike[str], *, typed: bool = True) -> dict[str, dict[str, Any]]:
    """Fields by document id, as `Index.update_metadata` takes them.

    Args:
        path: A file whose rows have an id and any other fields, or "-" for JSON lines on stdin. JSON's null stays, and removes a
            field; an empty cell of a table says nothing.
        typed: Whether numbers and booleans in CSV and TSV become such (`polyvec.data.tables.typed_value`).

    Returns:
        One entry a row, in order.

    Raises:
        InputError: An unknown kind, a broken file, a missing id, an id seen before, or no row at all.
    """
    place = as_path(path, f"a file of ids and fields: {_KINDS}")
    changes: dict[str, dict[str, Any]] = {}
    for row, where in _rows(place, flag("typed", typed)):
        document = document_of({**row, "text": "-"}, where)  # everything but the text is checked
        if document.id in changes:
            raise InputError(
                f"{where}: document id {document.id!r} comes twice. Give the fields of each document once."
            )
        changes[document.id] = document.metadata
    if not changes:
        raise InputError(f"{named(place)}: no rows in it. Expected at least one with an id, as {_KINDS}.")
    return changes


def _rows(path: Path, typed: bool) -> Iterator[tuple[Mapping[str, Any], str]]:
    stdin = str(path) == STDIN
    kind = "json lines" if stdin else kind_of(path, _ACCEPTED, _KINDS)
    if kind == "parquet":
        for row, where in parquet_rows(path, _NEEDED):
            yield {key: value for key, value in row.items() if value is not None}, where
        return
    name = "stdin" if stdin else named(path)
    with opened(path) as stream:
        if kind == "json lines":
            yield from json_lines(stream, name)
        else:
            yield from table_rows(stream, name, kind, _NEEDED, typed=typed)
