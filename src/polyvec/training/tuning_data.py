"""Questions with passages, or passages alone -> rows to learn from and a judged dataset that is kept aside.

What is kept aside is chosen by passage: no passage of a question that judges is learned from. Knows nothing about models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from polyvec.data import Document, Qrels, Query
from polyvec.data.files import as_path, named
from polyvec.data.perturbations import bare
from polyvec.errors import InputError
from polyvec.evaluation.dataset import Dataset
from polyvec.training.passages import sentences
from polyvec.training.rows import PairRow, pair_row, placed, read_rows, short_language, text_row

LEAST = 20  # questions, and passages, from which anything can be learned and judged
_ASKED = 2  # questions taken from a passage
_WORDS = (3, 8)  # of a question that is made of words
_JUDGED = 400  # questions kept aside, at most


@dataclass(frozen=True)
class TuningData:
    """What is learned from, and what judges it.

    Attributes:
        rows: To learn from.
        choosing: Judges what is kept of the training.
        judging: Judges what is said of it; other passages than those of choosing.
        made: Whether the questions were taken from the passages.
    """

    rows: list[PairRow]
    choosing: Dataset
    judging: Dataset
    made: bool


def read_tuning_data(source: Path, *, held_out: float, seed: int) -> TuningData:
    """Read rows of query and document, or of text alone, and keep a part aside.

    Args:
        source: A file of rows, with lang and answer where they are known.
        held_out: Share of the passages that judge, with all of their questions.
        seed: Of what is drawn.

    Returns:
        What to learn from, and two judged datasets over all passages of the file.

    Raises:
        InputError: Wrong rows, or too few questions or passages.
    """
    source = as_path(source, "a file of rows")
    rows, made = _rows(source, seed)
    passages = list(dict.fromkeys(row.document for row in rows))
    if len(passages) < LEAST or len(rows) < LEAST:
        raise InputError(
            f"{named(source)} has {len(rows)} questions for {len(passages)} passages. Expected {LEAST} of each, better 1,000."
        )
    order = passages[:]
    Random(seed).shuffle(order)
    count = max(4, min(round(held_out * len(order)), len(order) // 2))
    aside = order[:count]
    halves = [set(aside[::2]), set(aside[1::2])]
    asked = {row.query for row in rows if row.document in halves[0] | halves[1]}
    kept = [row for row in rows if row.document not in halves[0] | halves[1] and row.query not in asked]
    if not kept:
        raise InputError(
            f"{named(source)}: every question is asked of a passage that is kept aside. Give more passages."
        )
    choosing, judging = (
        _judged(name, rows, passages, half) for name, half in zip(("choosing", "judging"), halves, strict=True)
    )
    return TuningData(kept, choosing, judging, made)


def _rows(source: Path, seed: int) -> tuple[list[PairRow], bool]:
    """The rows of a file, and whether their questions were made here."""
    first = next(iter(read_rows(source)), None)
    if first is None:
        raise InputError(f"{named(source)} has no rows. Expected rows with query and document, or with text.")
    found = placed(read_rows(source), named(source))
    if "query" in first:
        rows = [pair_row(row, place) for row, place in found]
        for row, (_, place) in zip(rows, placed(read_rows(source), named(source)), strict=True):
            short_language(row.lang, place)
        return rows, False
    return list(_made(found, Random(seed))), True


def _made(rows: Iterator[tuple[Mapping[str, Any], str]], chance: Random) -> Iterator[PairRow]:
    """Questions taken from passages: a sentence, or some words of one, in turn.

    The passage keeps the sentence, as a passage that is asked for holds the answer.
    """
    for number, (row, place) in enumerate(rows):
        checked = text_row(row, place, text_field="document" if "document" in row else "text")
        short_language(checked.lang, place)
        parts = sentences(checked.text)
        for turn, sentence in enumerate(chance.sample(parts, min(_ASKED, len(parts)))):
            asks = _words_of(sentence, chance) if (number + turn) % 2 else sentence
            yield PairRow(asks, checked.text, (), checked.lang, "")


def _words_of(sentence: str, chance: Random) -> str:
    """Some words of a sentence in their order, long ones first; the sentence where it has few."""
    words = [word for word in map(bare, sentence.split()) if word]
    count = chance.randint(*_WORDS)
    if len(words) <= count:
        return sentence
    chosen = sorted(range(len(words)), key=lambda i: (-len(words[i]), i))[:count]
    return " ".join(words[i] for i in sorted(chosen))


def _judged(name: str, rows: list[PairRow], passages: list[str], half: set[str]) -> Dataset:
    """The questions of some passages, asked of all passages."""
    ids = {text: f"p{place}" for place, text in enumerate(passages)}
    languages: dict[str, str] = {}
    answers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        languages.setdefault(row.document, row.lang)
        answers[row.query, row.lang].add(row.document)
    asked = [key for key, texts in answers.items() if texts & half]
    asked = asked[:: max(1, len(asked) // _JUDGED)]
    queries = [Query(f"q{number}", text, lang) for number, (text, lang) in enumerate(asked)]
    qrels: Qrels = {f"q{number}": {ids[text]: 1 for text in answers[key]} for number, key in enumerate(asked)}

    def documents() -> Iterator[Document]:
        for text, number in ids.items():
            yield Document(number, text, {"lang": languages[text]})

    return Dataset(name, queries, qrels, documents)
