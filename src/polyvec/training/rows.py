"""Training files -> rows, each checked once as it is read: texts, parallel texts, questions with passages, scored candidates.

Reads .jsonl, .ndjson (each also .gz or .zst) and .parquet as streams. Every refusal names the file and the row. Knows nothing
about tokens or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyvec.data.files import as_path, kind_of, kinds, named, opened
from polyvec.data.json_lines import json_lines
from polyvec.data.parquet import parquet_rows
from polyvec.errors import InputError

KINDS = ".jsonl or .ndjson (each also .gz or .zst), or .parquet"
_ACCEPTED = kinds(".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text.

    Attributes:
        lang: As the file says it, "und" where it does not.
        group: "" where there is none.
    """

    text: str
    lang: str
    group: str


@dataclass(frozen=True, slots=True)
class ParallelRow:
    """The same in English and in another language."""

    en: str
    text: str
    lang: str
    group: str


@dataclass(frozen=True, slots=True)
class PairRow:
    """A question and its passage.

    Attributes:
        answers: What a passage that answers the question holds.
    """

    query: str
    document: str
    answers: tuple[str, ...]
    lang: str
    group: str


@dataclass(frozen=True, slots=True)
class CandidatesRow:
    """A question and candidates, the true one first.

    Attributes:
        query_read, documents_read: What a teacher reads, English where given.
    """

    query: str
    documents: tuple[str, ...]
    query_read: str
    documents_read: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MinedRow:
    """A question and documents: the one that answers it, then those that only look so."""

    query: str
    documents: tuple[str, ...]
    lang: str
    group: str


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A question, candidates, and a teacher's score for each."""

    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...]
    lang: str
    group: str


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file, in order, as they are.

    Raises:
        InputError: A file that is missing, or not as its name says.
    """
    path = as_path(path, f"a file of rows, {KINDS}")
    if kind_of(path, _ACCEPTED, f"rows as {KINDS}") == "parquet":
        for row, _ in parquet_rows(path):
            yield row
        return
    with opened(path) as stream:
        for row, _ in json_lines(stream, named(path)):
            yield row


def placed(
    rows: Iterable[Mapping[str, Any]], where: str, group_field: str = ""
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Rows with their places, "file, row n".

    Raises:
        InputError: At the end where no row has the field that names groups.
    """
    number, grouped = 0, False
    for number, row in enumerate(rows, start=1):
        grouped = grouped or group_field in row
        yield row, f"{where}, row {number}"
    if number and group_field and not grouped:
        raise InputError(f"{where}: no row has the field {group_field!r}. Correct group_field.")


def text_row(row: Mapping[str, Any], where: str, *, text_field: str = "text", group_field: str = "") -> TextRow:
    """A row of kind text.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    return TextRow(_text(row, text_field, where, text_field), _lang(row, where), _group(row, group_field, where))


def parallel_row(row: Mapping[str, Any], where: str, *, group_field: str = "") -> ParallelRow:
    """A row of kind parallel.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    en, text = (_text(row, name, where, "en, text") for name in ("en", "text"))
    return ParallelRow(en, text, _lang(row, where), _group(row, group_field, where))


def pair_row(row: Mapping[str, Any], where: str, *, group_field: str = "") -> PairRow:
    """A row of kind pairs; `answer` is a string or a list of strings.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    query, document = (_text(row, name, where, "query, document") for name in ("query", "document"))
    return PairRow(query, document, _answers(row, where), _lang(row, where), _group(row, group_field, where))


def candidates_row(row: Mapping[str, Any], where: str) -> CandidatesRow:
    """A question with candidates, as `mine` writes and `teach` reads it.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    query, documents = _text(row, "query", where, "query, documents"), _texts(row, "documents", where)
    _lang(row, where)
    query_read = query if row.get("query_en") in (None, "") else _text(row, "query_en", where, "query_en")
    if row.get("documents_en") in (None, [], ""):
        return CandidatesRow(query, documents, query_read, documents)
    read = _texts(row, "documents_en", where)
    if len(read) != len(documents):
        raise InputError(f"{where}: {len(documents)} documents and {len(read)} documents_en, which are not as many.")
    return CandidatesRow(query, documents, query_read, read)


def mined_row(row: Mapping[str, Any], where: str, *, group_field: str = "") -> MinedRow:
    """A row of kind mined, as `mine` writes it.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    query, documents = _text(row, "query", where, "query, documents"), _texts(row, "documents", where)
    return MinedRow(query, documents, _lang(row, where), _group(row, group_field, where))


def scored_row(row: Mapping[str, Any], where: str, *, group_field: str = "") -> ScoredRow:
    """A row of kind scored, as `teach` writes it.

    Raises:
        InputError: The row lacks a field, or one holds something else; the message names the place.
    """
    expected = "query, documents, scores"
    query, documents = _text(row, "query", where, expected), _texts(row, "documents", where)
    scores = row.get("scores")
    if not isinstance(scores, list) or len(scores) != len(documents):
        given = f"{len(scores)}" if isinstance(scores, list) else "no list"
        raise InputError(f"{where}: scores: {given} for {len(documents)} documents. Expected a list, one a document.")
    for number, score in enumerate(scores, start=1):
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise InputError(f"{where}: score {number} is {score!r}. Expected a finite number.")
    values = tuple(float(score) for score in scores)
    return ScoredRow(query, documents, values, _lang(row, where), _group(row, group_field, where))


@lru_cache(maxsize=4096)
def language(code: str) -> str:
    """The short code of a language, whatever its source calls it: deu -> de, zh_CN -> zh, arb -> ar; und where nobody said.

    Raises:
        InputError: Something that is no language code.
    """
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    text = code.split("@", maxsplit=1)[0].replace("_", "-")
    if text.lower() == "und":
        return "und"
    found: str | None = None
    for tried in (text, text.split("-")[0]):
        try:
            found = langcodes.get(langcodes.standardize_tag(tried, macro=True) if tried == text else tried).language
            break
        except LanguageTagError:
            continue
    if not found or not found.isalpha():
        raise InputError(f"lang={code!r} is not a language code. Use BCP 47 codes such as de, pt-BR or zh-Hant.")
    return found


def short_language(code: str, where: str) -> str:
    """As `language`; the refusal names the row."""
    try:
        return language(code)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _text(row: Mapping[str, Any], name: str, where: str, expected: str) -> str:
    value = row.get(name)
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: {name} is missing or empty. Expected {expected}.")
    if not isinstance(value, str):
        raise InputError(f"{where}: {name} is {_shown(value)}. Expected a string.")
    return value


def _texts(row: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    values = row.get(name)
    if values is None or values == []:
        raise InputError(f"{where}: {name} is missing or empty. Expected a list of strings.")
    if not isinstance(values, list):
        raise InputError(f"{where}: {name} is {_shown(values)}. Expected a list of strings.")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str) or not value.strip():
            raise InputError(
                f"{where}: number {number} of {name} is {_shown(value)}. Expected a string that is not empty."
            )
    return tuple(values)


def _answers(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The answers that are not empty; none where the row has none."""
    value = row.get("answer")
    values = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise InputError(f"{where}: answer is {_shown(value)}. Expected a string, or a list of strings.")
    return tuple(one.strip() for one in values if one.strip())


def _lang(row: Mapping[str, Any], where: str) -> str:
    value = row.get("lang")
    if value is None or value == "":
        return "und"
    if not isinstance(value, str):
        raise InputError(f"{where}: lang is {_shown(value)}. Expected a language code such as 'de'.")
    return value


def _group(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name) if name else None
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InputError(f"{where}: {name} is {_shown(value)}. Expected a string or a number that names the group.")
    return str(value)


def _shown(value: Any) -> str:
    kind = {"NoneType": "null", "dict": "an object", "list": "a list", "bool": "a boolean", "str": "an empty string"}
    if isinstance(value, str) and value.strip():
        return f"the string {value[:40]!r}"
    name = type(value).__name__
    return kind.get(name, f"{name} {str(value)[:40]}")
