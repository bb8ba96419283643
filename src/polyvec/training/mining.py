"""Questions with their passages -> the same with hard negatives, found by our own index.

A candidate is dropped where it holds the answer, scores too near the true passage, or is the true passage of the same question.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.errors import InputError, StorageError
from polyvec.index.options import SearchOptions
from polyvec.training.rows import read_rows

if TYPE_CHECKING:
    from polyvec.collection import Index
    from polyvec.encoder import Encoder


@dataclass(frozen=True)
class MiningReport:
    """What mining found: questions written, negatives in all, and how many candidates each guard dropped."""

    queries: int
    negatives: int
    holding_answer: int
    too_near: int


def mine(
    source: Path,
    output: Path,
    *,
    encoder: Encoder,
    negatives: int = 7,
    first_rank: int = 1,
    last_rank: int = 100,
    margin: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> MiningReport:
    """Write rows of {query, documents, lang}: the true passage first, then up to `negatives` hard ones, best
    ranked first.

    source: rows of query and document, with answer where it is known · first_rank, last_rank: window of the ranking
    that negatives come from ·
    margin: a candidate that scores more than this share of the true passage's score is taken for a false negative.
    Raises InputError for a file without questions, StorageError where the output exists.
    """
    if not 1 <= first_rank <= last_rank:
        raise InputError(f"ranks {first_rank} to {last_rank}: expected 1 or more, the first no greater than the last.")
    if output.exists():
        raise StorageError(f"{output} exists already. Choose another path, or delete it.")
    rows = _checked(source)
    passages = list(dict.fromkeys(row["document"] for row in rows))
    number = {text: str(i) for i, text in enumerate(passages)}
    true: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        true[row["query"]].add(number[row["document"]])
    counts = {"queries": 0, "negatives": 0, "holding_answer": 0, "too_near": 0}
    staging = output.with_name(output.name + ".writing")
    with tempfile.TemporaryDirectory() as folder:
        index = _index(Path(folder), passages, encoder, progress)
        with index, staging.open("w", encoding="utf-8") as file:
            for row in rows:
                found = _negatives(index, row, true[row["query"]], number, first_rank, last_rank, margin, counts)[
                    :negatives
                ]
                counts["queries"] += 1
                counts["negatives"] += len(found)
                documents = [row["document"], *(passages[int(i)] for i in found)]
                kept = {"query": row["query"], "documents": documents, "lang": row.get("lang", "und")}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")
                if progress is not None:
                    progress(1)
    staging.replace(output)
    return MiningReport(**counts)


def _checked(source: Path) -> list[dict[str, Any]]:
    rows = []
    for number, row in enumerate(read_rows(source), start=1):
        if not row.get("query") or not row.get("document"):
            raise InputError(f"{source}, row {number}: query or document is missing or empty.")
        rows.append(row)
    if not rows:
        raise InputError(f"{source} has no rows. Expected JSON lines with query and document.")
    return rows


def _index(folder: Path, passages: list[str], encoder: Encoder, progress: Callable[[int], None] | None) -> Index:
    from polyvec.collection import Index

    index = Index.create(folder / "passages.polyvec", encoder=encoder)
    documents: Iterable[dict[str, Any]] = ({"id": str(i), "text": text} for i, text in enumerate(passages))
    index.add(documents, progress=progress)
    index.compact()
    return index


def _negatives(
    index: Index,
    row: dict[str, Any],
    true: set[str],
    number: dict[str, str],
    first_rank: int,
    last_rank: int,
    margin: float,
    counts: dict[str, int],
) -> list[str]:
    hits = index.search(row["query"], options=SearchOptions(k=last_rank))
    own = number[row["document"]]
    scores = {hit.id: hit.score for hit in hits}
    if own not in scores:  # below the window: whatever is above it is no better than it
        (alone,) = index.search(row["query"], k=1, subset=[own])
        scores[own] = alone.score
    answer = str(row.get("answer") or "").strip().casefold()
    found = []
    for hit in hits[first_rank - 1 :]:
        if hit.id in true:
            continue
        if answer and answer in (hit.text or "").casefold():
            counts["holding_answer"] += 1
        elif hit.score > margin * scores[own]:
            counts["too_near"] += 1
        else:
            found.append(hit.id)
    return found
