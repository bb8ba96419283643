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

from polyvec.arguments import function, local_path, number, token_encoder, whole_number
from polyvec.atomic import check_destination, written
from polyvec.collection.index import Index
from polyvec.data.files import as_path, named
from polyvec.errors import InputError
from polyvec.index.engine.options import SearchOptions
from polyvec.training.rows import PairRow, pair_row, placed, read_rows

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


@dataclass(frozen=True)
class MiningReport:
    """What mining found: questions written, negatives in all, and how many candidates each guard dropped."""

    queries: int
    negatives: int
    holding_answer: int
    too_near: int


@dataclass(frozen=True, kw_only=True)
class MiningOptions:
    """How negatives are chosen.

    Raises:
        InputError: Numbers that nothing can be done with.
    """

    negatives: int = 7  # a question, at most
    first_rank: int = 1  # of the ranking that negatives come from
    last_rank: int = 100
    margin: float = (
        0.95  # a candidate that scores more than this share of the true passage is taken for a false negative
    )

    def __post_init__(self) -> None:
        for name in ("negatives", "first_rank", "last_rank"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        if self.first_rank > self.last_rank:
            raise InputError(
                f"ranks {self.first_rank} to {self.last_rank}: expected the first no greater than the last."
            )
        margin = number("margin", self.margin, "a finite share above 0, such as 0.95", lambda share: share > 0)
        object.__setattr__(self, "margin", margin)


def mine(
    source: Path,
    output: Path,
    *,
    encoder: TokenEncoder,
    negatives: int = 7,
    first_rank: int = 1,
    last_rank: int = 100,
    margin: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> MiningReport:
    """Write rows of {query, documents, lang}: the true passage first, then up to `negatives` hard ones, best ranked first.

    Args:
        source: Rows of query and document, with answer (a string or a list of them) where it is known.
        first_rank, last_rank: Window of the ranking that negatives come from.
        margin: A candidate that scores more than this share of the true passage's score is taken for a false
            negative.

    Raises:
        InputError: A file without questions or with wrong rows.
        StorageError: The output exists or cannot be written.
    """
    options = MiningOptions(negatives=negatives, first_rank=first_rank, last_rank=last_rank, margin=margin)
    token_encoder("encoder", encoder)
    function("progress", progress)
    source, output = as_path(source, "a file of rows"), local_path("output", output)
    check_destination(output, inputs=[source], new=True)
    rows = questions(source)
    passages = list(dict.fromkeys(row.document for row in rows))
    places = {text: str(i) for i, text in enumerate(passages)}
    true: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        true[row.query].add(places[row.document])
    counts = {"queries": 0, "negatives": 0, "holding_answer": 0, "too_near": 0}
    with tempfile.TemporaryDirectory() as folder:
        index = _index(Path(folder), passages, encoder, progress)
        with index, written(output) as file:
            for row in rows:
                found = _negatives(index, row, true[row.query], places, options, counts)[: options.negatives]
                counts["queries"] += 1
                counts["negatives"] += len(found)
                documents = [row.document, *(passages[int(i)] for i in found)]
                kept = {"query": row.query, "documents": documents, "lang": row.lang}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")
                if progress is not None:
                    progress(1)
    return MiningReport(**counts)


def questions(source: Path) -> list[PairRow]:
    """Every row of the file, checked.

    Raises:
        InputError: A wrong row, or a file without any.
    """
    source = as_path(source, "a file of rows")
    rows = [pair_row(row, place) for row, place in placed(read_rows(source), named(source))]
    if not rows:
        raise InputError(f"{named(source)} has no rows. Expected rows with query and document.")
    return rows


def _index(folder: Path, passages: list[str], encoder: TokenEncoder, progress: Callable[[int], None] | None) -> Index:
    index = Index.create(folder / "passages.polyvec", encoder=encoder)
    documents: Iterable[dict[str, Any]] = ({"id": str(i), "text": text} for i, text in enumerate(passages))
    index.add(documents, progress=progress)
    index.compact()
    return index


def _negatives(
    index: Index,
    row: PairRow,
    true: set[str],
    places: dict[str, str],
    options: MiningOptions,
    counts: dict[str, int],
) -> list[str]:
    hits = index.search(row.query, options=SearchOptions(k=options.last_rank))
    own = places[row.document]
    scores = {hit.id: hit.score for hit in hits}
    if own not in scores:  # below the window: whatever is above it is no better than it
        (alone,) = index.search(row.query, k=1, subset=[own])
        scores[own] = alone.score
    answers = [answer.casefold() for answer in row.answers]
    found = []
    for hit in hits[options.first_rank - 1 :]:
        if hit.id in true:
            continue
        text = (hit.text or "").casefold()
        if any(answer in text for answer in answers):
            counts["holding_answer"] += 1
        elif hit.score > options.margin * scores[own]:
            counts["too_near"] += 1
        else:
            found.append(hit.id)
    return found
