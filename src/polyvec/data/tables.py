"""CSV and TSV -> rows by column name, each with the line where it began.

CSV is that of RFC 4180: a field in double quotes may hold commas, line ends and doubled quotes. In TSV a quote is a character
like any other and a record is a line, as MS MARCO, BEIR and TREC write it. The first line names the columns. Numbers and
booleans become such by a rule that `typed_value` states.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from polyvec.data.files import MAX_LINE_BYTES, Progress, decoded, lines, text_lines
from polyvec.errors import InputError

MAX_RECORD_LINES = 10_000
AS_WRITTEN = ("id", "_id", "text", "title", "lang")  # columns that stay strings
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_DIGITS = 15  # of a number that a double holds exactly

Fields = tuple[list[str], str]  # the fields of a record, and where it began


def table_rows(
    stream: BinaryIO,
    name: str,
    kind: str,
    needed: Sequence[Sequence[str]],
    *,
    typed: bool,
    progress: Progress | None = None,
) -> Iterator[tuple[dict[str, Any], str]]:
    """The records of a table with a header, empty fields left out, but for an empty text.

    Args:
        stream: The bytes of the file.
        name: Its name, for messages.
        kind: "csv" or "tsv".
        needed: Columns that must be there; of each group, one.
        typed: Whether numbers and booleans become such.
        progress: Called with the number of bytes just read.

    Raises:
        InputError: A header without the columns, with one twice or without a name; a record with another number of
            fields; a quote that is not closed, or whose field looks as if it had swallowed other records.
    """
    found = records(stream, name, kind, progress)
    columns, where = next(found, ([], f"{name}:1"))
    columns = [column.strip() for column in columns]
    if columns:
        check_columns(columns, where)
        check_needed(columns, where, needed)
    separator = "commas" if kind == "csv" else "tabs"
    for fields, where in found:
        if len(fields) != len(columns):
            hint = "Quote fields that hold a comma." if kind == "csv" else "A field cannot hold a tab."
            raise InputError(
                f"{where}: another number of fields ({len(fields)}) than the header's {len(columns)}, {separator} between. {hint}"
            )
        row: dict[str, Any] = dict(zip(columns, fields, strict=True))
        yield (
            {
                key: typed_value(value) if typed and key not in AS_WRITTEN else value
                for key, value in row.items()
                if value != "" or key == "text"
            },
            where,
        )


def typed_value(text: str) -> str | int | float | bool:
    """A number or a boolean where the text is just what JSON would write for it, else the text.

    That is: `true`, `false`, and plain decimals of at most 15 digits without leading zeros, plus sign, exponent or thousands
    separators. So 2004, -3 and 9.50 are numbers; 007, +1, 1e5, 1,000 and -0 are text.
    """
    if text in ("true", "false"):
        return text == "true"
    if not _NUMBER.fullmatch(text) or sum(map(str.isdigit, text)) > _DIGITS:
        return text
    if text.startswith("-") and not text.strip("-0."):
        return text
    return float(text) if "." in text else int(text)


def records(stream: BinaryIO, name: str, kind: str, progress: Progress | None = None) -> Iterator[Fields]:
    """The records of a table as lists of fields, the header among them; empty lines are passed over."""
    if kind == "tsv":
        for text, where in text_lines(stream, name, progress):
            if text:
                yield text.split("\t"), where
        return
    yield from _csv_records(stream, name, progress)


def check_columns(columns: Sequence[str], where: str) -> None:
    """Raise InputError for a column without a name or one that comes twice."""
    if "" in columns:
        raise InputError(f"{where}: column {columns.index('') + 1} has no name. Name it, or leave the column out.")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise InputError(f"{where}: the column {twice[0]!r} comes twice. Give each column a name of its own.")


def check_needed(columns: Sequence[str], where: str, needed: Sequence[Sequence[str]]) -> None:
    """Raise InputError where a needed column is missing."""
    if all(set(names) & set(columns) for names in needed):
        return
    wanted = " and ".join(names[0] for names in needed)
    raise InputError(f"{where}: columns {', '.join(columns)[:200]}; expected a header with {wanted}.")


def _csv_records(stream: BinaryIO, name: str, progress: Progress | None) -> Iterator[Fields]:
    csv.field_size_limit(MAX_LINE_BYTES)
    begun = 1  # line of the record that is being read
    record: list[str] = []  # its lines

    def numbered() -> Iterator[str]:
        for number, line in enumerate(lines(stream, name), start=1):
            if progress is not None:
                progress(len(line))
            if len(record) >= MAX_RECORD_LINES:
                raise InputError(
                    f"{name}:{begun}: a quoted field that goes on for over {MAX_RECORD_LINES:,} lines. Close its quote."
                )
            text = decoded(line, f"{name}:{number}", first=number == 1)
            record.append(text)
            yield text

    reader = csv.reader(numbered(), strict=True)
    width = 0
    while True:
        begun = reader.line_num + 1
        record.clear()
        where = f"{name}:{begun}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            hint = " A quote is not closed." if "end of data" in str(error) else ""
            raise InputError(f"{where}: not a valid table ({error}).{hint}") from error
        if fields is None:
            return
        if not fields:
            continue
        width = width or len(fields)
        if len(record) > 1 and _swallowed(fields[0], record[1:], width):
            raise InputError(
                f"{where}: a quoted field that holds lines like the records of this table, so its quote may not be closed. "
                "Double quotes that are part of a text, or write the table as JSON lines."
            )
        yield fields, where


def _swallowed(identifier: str, within: Sequence[str], width: int) -> bool:
    """Whether every further line of a record could be a record itself: as many fields, and an id made like this one's.

    Ids of letters alone look like the first words of a sentence, so there it takes four lines.
    """
    own = _shape(identifier)
    if width < 2 or len(within) < (1 if "9" in own else 4):
        return False
    split = (line.rstrip("\r\n").split(",") for line in within)
    return all(len(fields) == width and _shape(fields[0]) == own for fields in split)


def _shape(text: str) -> str:
    """How an id is made: runs of digits as 9, runs of letters as a."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))
