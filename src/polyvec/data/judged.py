"""Queries, judgements and runs <-> files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from polyvec.data.documents import decoded, json_lines, open_bytes
from polyvec.errors import InputError

Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Query:
    """A question with an id, and its language where that is known."""

    id: str
    text: str
    lang: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def read_queries(path: str | Path) -> Iterator[Query]:
    """Stream queries from .jsonl (BEIR), .tsv (id, tab, text), or one a line (.txt and stdin; the id is the line number).

    Raises InputError naming the line for a missing id or text, or an id seen before.
    """
    path = Path(path)
    if str(path) != "-" and not path.is_file():
        raise InputError(f"{path}: no such file. Expected queries as .jsonl, .tsv or .txt, or - for stdin.")
    seen: set[str] = set()
    for query, where in _read_queries(path):
        if query.id in seen:
            raise InputError(f"{where}: query id {query.id!r} comes twice. Make ids unique.")
        seen.add(query.id)
        yield query


def _read_queries(path: Path) -> Iterator[tuple[Query, str]]:
    with _open(path) as stream:
        name = "stdin" if str(path) == "-" else str(path)
        if path.name.lower().endswith((".jsonl", ".jsonl.gz", ".jsonl.zst")):
            for row, where in json_lines(stream, name, lambda n: None):
                yield _query_of(row, where), where
            return
        for number, line in enumerate(stream, start=1):
            where = f"{name}:{number}"
            text = decoded(line, where).rstrip("\r\n")
            if not text.strip():
                continue
            if path.suffix.lower() != ".tsv":
                yield Query(str(number), text), where
                continue
            query_id, tab, rest = text.partition("\t")
            if not tab or not query_id.strip() or not rest.strip():
                raise InputError(f"{where}: {text[:60]!r}, expected an id, a tab and the query's text.")
            yield Query(query_id, rest), where


def _query_of(row: dict[str, Any], where: str) -> Query:
    query_id, text = row.get("_id", row.get("id")), row.get("text")
    if isinstance(query_id, int) and not isinstance(query_id, bool):
        query_id = str(query_id)
    if not isinstance(query_id, str) or not query_id or not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: a query needs a non-empty `_id` and `text`, got {query_id!r} and {text!r}.")
    rest = {key: value for key, value in row.items() if key not in ("_id", "id", "text", "lang")}
    lang = row.get("lang")
    return Query(query_id, text, lang if isinstance(lang, str) else None, rest)


def read_qrels(path: str | Path) -> Qrels:
    """Judgements from a BEIR .tsv (header; query, document, grade) or TREC qrels (query, 0, document, grade)."""
    qrels: Qrels = {}
    for fields, where in _fields(Path(path)):
        if len(fields) == 3 and where.endswith(":1") and not _is_int(fields[2]):
            continue  # BEIR's header
        if len(fields) not in (3, 4) or not _is_int(fields[-1]):
            raise InputError(
                f"{where}: {' '.join(fields)[:60]!r}, expected `query document grade` or `query 0 document grade`."
            )
        qrels.setdefault(fields[0], {})[fields[-2]] = int(fields[-1])
    if not qrels:
        raise InputError(f"{path}: no judgements in it.")
    return qrels


def read_run(path: str | Path) -> Run:
    """A TREC run (query, Q0, document, rank, score, tag) as scores by query and document, in the file's order."""
    run: Run = {}
    for fields, where in _fields(Path(path)):
        try:
            query_id, _, document_id, _, score, _ = fields
            run.setdefault(query_id, {})[document_id] = float(score)
        except ValueError as error:
            raise InputError(f"{where}: expected six fields, `query Q0 document rank score tag`.") from error
    return run


def write_run(
    path: str | Path,
    results: Iterable[tuple[str, Iterable[tuple[str, float]]]] | Mapping[str, Mapping[str, float]],
    *,
    tag: str,
) -> None:
    """Write a TREC run; "-" is stdout. results: (query id, [(document id, score), ...]) best first, or a Run.

    Raises InputError for an id with white space in it, which the format cannot hold.
    """
    if isinstance(results, Mapping):
        results = [
            (query_id, sorted(scores.items(), key=lambda item: -item[1])) for query_id, scores in results.items()
        ]
    with _open_text(Path(path)) as stream:
        for query_id, ranked in results:
            for rank, (document_id, score) in enumerate(ranked, start=1):
                if len(query_id.split()) != 1 or len(document_id.split()) != 1:
                    raise InputError(
                        f"ids {query_id!r}, {document_id!r}: a TREC run cannot hold ids with white space. Use --json."
                    )
                stream.write(f"{query_id} Q0 {document_id} {rank} {score!r} {tag}\n")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with open_bytes(path) as stream:
        yield stream


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    if str(path) == "-":
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8") as stream:
        yield stream


def _fields(path: Path) -> Iterator[tuple[list[str], str]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            fields = decoded(line, f"{path}:{number}").split()
            if fields:
                yield fields, f"{path}:{number}"


def _is_int(text: str) -> bool:
    return text.lstrip("-").isdigit()
