"""Judgments and runs <-> files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from polyvec.arguments import LARGEST, list_of, number, shown, whole_number
from polyvec.atomic import check_destination, written
from polyvec.data.files import as_path, named, opened, text_lines
from polyvec.errors import InputError

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]
Ranking = tuple[str, Iterable[tuple[str, float]]]  # a query's id, and documents with scores, best first

_SPACES = re.compile(r"[ \t\v\f]+")
_GRADE = re.compile(r"[+-]?[0-9]{1,9}(?:\.0+)?")
_RANK = re.compile(r"[+-]?[0-9]{1,12}")
_SCORE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COLUMN_NAME = re.compile(r"[^\W\d][\w .-]+")


def read_qrels(path: str | os.PathLike[str]) -> Qrels:
    """Judgments: query, document and grade a line (BEIR), or query, 0, document and grade (TREC).

    A file whose name ends in .tsv, or whose first line holds two or three tabs, is split at tabs and at nothing else, so ids may
    hold spaces. Others are split at spaces and tabs. The first line is a header where its last field is a name. A grade is a
    whole number; 1.0 counts as 1. The same judgment may come again, another grade for it may not.

    Args:
        path: The file; .gz and .zst are decompressed.

    Raises:
        InputError: A line of another form, a second grade for a document, or a file without judgments.
    """
    place = as_path(path, "a file of judgments")
    qrels: Qrels = {}
    width = 0
    for n, (fields, where) in enumerate(_fields(place, (3, 4), tabs=".tsv" in map(str.lower, place.suffixes[-2:]))):
        if n == 0 and len(fields) in (3, 4) and _is_name(fields[-1]):
            continue
        width = width or len(fields)
        if len(fields) not in (3, 4) or len(fields) != width or not _GRADE.fullmatch(fields[-1].strip()):
            raise InputError(
                f"{where}: {' '.join(fields)[:60]!r}, expected `query document grade` or `query 0 document grade`, alike in all "
                "lines, with a whole number as grade."
            )
        query_id, document_id, grade = fields[0], fields[-2], int(float(fields[-1]))
        if not query_id.strip() or not document_id.strip():
            raise InputError(f"{where}: an empty id. Expected a query, a document and a grade.")
        before = qrels.setdefault(query_id, {}).setdefault(document_id, grade)
        if before != grade:
            raise InputError(
                f"{where}: document {document_id!r} of query {query_id!r} has grade {grade} here and {before} before. Keep one."
            )
    if not qrels:
        raise InputError(f"{named(place)}: no judgments in it. Expected a query, a document and a grade a line.")
    return qrels


def read_run(path: str | os.PathLike[str]) -> Run:
    """A TREC run (query, Q0, document, rank, score, tag) as scores by query and document, in the file's order.

    Raises:
        InputError: A line of another form, a score that is no finite number, a document twice for one query.
    """
    place = as_path(path, "a TREC run")
    run: Run = {}
    for fields, where in _fields(place, (6,), tabs=False):
        if len(fields) != 6:
            raise InputError(f"{where}: {len(fields)} fields, expected six fields, `query Q0 document rank score tag`.")
        query_id, _, document_id, rank, score, _ = fields
        if not _RANK.fullmatch(rank) or not _SCORE.fullmatch(score) or not math.isfinite(float(score)):
            raise InputError(
                f"{where}: expected six fields, `query Q0 document rank score tag`, with a whole number as rank and a finite "
                f"number as score; got rank {rank[:40]!r} and score {score[:40]!r}."
            )
        scores = run.setdefault(query_id, {})
        if document_id in scores:
            raise InputError(f"{where}: document {document_id!r} comes twice for query {query_id!r}. Keep one row.")
        scores[document_id] = float(score)
    return run


def write_run(
    path: str | os.PathLike[str],
    results: Iterable[Ranking] | Mapping[str, Mapping[str, float]],
    *,
    tag: str,
) -> None:
    """Write a TREC run, whole or not at all; "-" is stdout, which is written query by query.

    Args:
        path: The file, which is replaced where it exists.
        results: (query id, [(document id, score), ...]) best first, or a Run.
        tag: Name of the system, one word.

    Raises:
        InputError: A tag or an id that the format cannot hold, a score that is not finite, a query or document twice.
        StorageError: The file cannot be written.
    """
    check_run_target(path, tag)
    seen: set[str] = set()
    with written(path) as stream:
        for query_id, ranked in _rankings(results):
            if query_id in seen:
                raise InputError(f"query id {query_id!r} comes twice. A run has each query once.")
            seen.add(query_id)
            stream.write("".join(_run_lines(query_id, ranked, tag)))


def check_run_target(
    path: str | os.PathLike[str], tag: str, *, inputs: Iterable[str | Path | None] = (), ids: Iterable[str] = ()
) -> None:
    """Refuse what `write_run` would refuse, before the work.

    Args:
        path: Where the run shall be.
        tag: Name of the system.
        inputs: Files and folders that the command reads.
        ids: Ids known by now that the run may hold.

    Raises:
        InputError: The tag or an id is not one word, or the path is an input.
        StorageError: The file cannot be written.
    """
    if not isinstance(tag, str) or not _is_word(tag):
        raise InputError(f"tag {shown(tag)}: a TREC run needs one word without white space as the name of the system.")
    check_run_ids(ids)
    check_destination(path, inputs=inputs)


def check_run_ids(ids: Iterable[str]) -> None:
    """Raise InputError for an id that a TREC run cannot hold."""
    for one in ids:
        if not isinstance(one, str) or not _is_word(one):
            raise InputError(
                f"id {shown(one)}: a TREC run cannot hold ids with white space or none at all. Use --json."
            )


def check_scores(name: str, value: Any, *, whole: bool = False) -> None:
    """Raise InputError for what does not give numbers by document, by query, as a Run does.

    Args:
        whole: As Qrels do.
    """
    expected = "a dict of dicts: a number by document id, by query id"
    if not isinstance(value, Mapping):
        raise InputError(f"{name}={shown(value)}: expected {expected}.")
    for query_id, scores in value.items():
        if not isinstance(query_id, str) or not isinstance(scores, Mapping):
            raise InputError(f"{name}: got {shown(query_id)}: {shown(scores)}, expected {expected}.")
        for document_id, score in scores.items():
            if not isinstance(document_id, str):
                raise InputError(f"{name}: id {shown(document_id)} of query {query_id!r}: expected {expected}.")
            if type(score) is float and math.isfinite(score) and not whole:
                continue  # as nearly all are
            place = f"{name}[{query_id!r}][{document_id!r}]"
            if whole:
                whole_number(place, score, least=-LARGEST)
            else:
                number(place, score, "a finite number", lambda _: True)


def _rankings(results: Any) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Results of either form as pairs that `write_run` writes. Raises InputError for anything else."""
    whole = isinstance(results, Mapping)
    for entry in results.items() if whole else list_of("results", results, ordered=True):
        query_id, ranked = _pair(entry, "results", "a query's id and its documents with scores")
        check_run_ids([query_id])
        if isinstance(ranked, Mapping):
            rows = [(document_id, _score(query_id, document_id, value)) for document_id, value in ranked.items()]
            yield query_id, sorted(rows, key=lambda row: -row[1])
        else:
            pairs = (
                _pair(one, f"documents of query {query_id!r}", "a document's id and its score")
                for one in list_of(f"documents of query {query_id!r}", ranked, ordered=True)
            )
            yield query_id, [(document_id, _score(query_id, document_id, value)) for document_id, value in pairs]


def _pair(value: Any, name: str, expected: str) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InputError(f"{name}: got {shown(value)}, expected pairs: {expected}.")
    return value[0], value[1]


def _score(query_id: str, document_id: Any, value: Any) -> float:
    check_run_ids([document_id])
    return number(f"score of document {document_id!r} of query {query_id!r}", value, "a finite number", lambda _: True)


def _run_lines(query_id: str, ranked: Iterable[tuple[str, float]], tag: str) -> Iterator[str]:
    found: set[str] = set()
    for rank, (document_id, value) in enumerate(ranked, start=1):
        if document_id in found:
            raise InputError(f"document {document_id!r} comes twice for query {query_id!r}. A run has it once.")
        found.add(document_id)
        yield f"{query_id} Q0 {document_id} {rank} {value!r} {tag}\n"


def _is_word(text: str) -> bool:
    """Whether a text is one field of a run for every program that reads it, and comes back as it was."""
    if len(text.split()) != 1 or text.strip() != text or text.startswith("\ufeff") or "\0" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fields(path: Path, widths: tuple[int, ...], *, tabs: bool) -> Iterator[tuple[list[str], str]]:
    """The fields of each line that is not empty. tabs: whether the name says already that tabs separate them."""
    first = True
    with opened(path) as stream:
        for line, where in text_lines(stream, named(path)):
            if not line.strip():
                continue
            if first:
                tabs, first = tabs or line.count("\t") + 1 in widths, False
            yield (line.split("\t") if tabs else _SPACES.split(line.strip(" \t\v\f"))), where


def _is_name(text: str) -> bool:
    """Whether the last field of a first line is the name of a column: a word, and no number that is none."""
    return _COLUMN_NAME.fullmatch(text.strip()) is not None and text.strip().lower() not in ("nan", "inf", "infinity")
