"""Translations, row by row -> questions for passages: a sentence, and the passage it stands in, in another language or its own.

Consecutive rows of a document become passages. What has no questions in a language can still teach to find passages in
it, and answers in one language for questions in another. Knows nothing about models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any
from unicodedata import category

from polyvec.training.rows import parallel_row, placed, short_language

_BETWEEN = re.compile(r"(?<=[.!?؟…।])\s+|(?<=[。！？])|\n+")
_SHORTEST = 12  # estimated bytes of meaning: letters of an alphabet count 1, of a dense script 3
_WORDS_KEPT = (
    0.5  # share of questions within a language whose sentence stays in the passage: words are found by themselves
)


def as_joined(rows: Iterable[dict[str, Any]], tokens: int, group_field: str, where: str) -> Iterator[dict[str, Any]]:
    """Rows of `en`, `text`, `lang` -> fewer and longer rows of the same: consecutive rows of a document become one.

    Rows hold between a third of `tokens` (estimated) and all of them.

    Raises:
        InputError: A row without the two sides.
    """
    for window, code, group, _ in _passages(rows, tokens, group_field, where):
        yield {side: " ".join(row[side] for row in window) for side in ("en", "text")} | {"lang": code, "group": group}


def as_passages(
    rows: Iterable[dict[str, Any]], tokens: int, group_field: str, where: str, turns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Rows of `en`, `text`, `lang` -> rows of `query`, `document`, `lang`, `group`.

    Passages hold between a third of `tokens` (estimated) and all of them. A question is one sentence of its passage:
    in the other language, or in the same, and then half of the passages lack it. Repeatable: the same rows give the
    same questions.

    Args:
        turns: What one passage after the other is for: to_english and from_english ask in one language for a passage
            in the other, within asks in the language of the passage.

    Raises:
        InputError: A row without the two sides.
    """
    for number, (window, code, group, chooser) in enumerate(_passages(rows, tokens, group_field, where)):
        for query, document in _questions(window, turns[number % len(turns)], chooser):
            yield {"query": query, "document": document, "lang": code, "group": group}


def _passages(
    rows: Iterable[dict[str, Any]], tokens: int, group_field: str, where: str
) -> Iterator[tuple[list[dict[str, Any]], str, str, random.Random]]:
    """Stretches of documents, with their language, their name, and a source of chance.

    A document is cut alike in every language, and stretches that say the same have the same name: they are no negatives.
    """
    for (code, group), members in groupby(
        checked_rows(rows, group_field, where), key=lambda row: (row["lang"], row["group"])
    ):
        chooser = random.Random(f"{code}/{group}")
        for number, window in enumerate(estimated_windows(members, tokens, random.Random(group))):
            yield window, code, f"{group}/{number}", chooser


def checked_rows(rows: Iterable[dict[str, Any]], group_field: str, where: str) -> Iterator[dict[str, Any]]:
    """`en`, `text`, `lang` (its short code) and `group` of each row.

    Raises:
        InputError: A row without the two sides.
    """
    for number, (row, place) in enumerate(placed(rows, where, group_field), start=1):
        checked = parallel_row(row, place, group_field=group_field)
        group = checked.group if group_field else str(number)
        yield {"en": checked.en, "text": checked.text, "lang": short_language(checked.lang, place), "group": group}


def estimated_windows(
    members: Iterable[dict[str, Any]], tokens: int, chooser: random.Random
) -> Iterator[list[dict[str, Any]]]:
    """Consecutive rows put together until their English sides hold a length drawn between a third of `tokens` and all."""
    window: list[dict[str, Any]] = []
    size, goal = 0, chooser.uniform(tokens / 3, tokens)
    for row in members:
        window.append(row)
        size += len(row["en"]) // 4 + 1
        if size >= goal:
            yield window
            window, size, goal = [], 0, chooser.uniform(tokens / 3, tokens)
    if window:
        yield window


def _questions(window: list[dict[str, Any]], turn: str, chooser: random.Random) -> Iterator[tuple[str, str]]:
    """Up to three sentences of a passage, with the passage."""
    asked, answering = ("en", "text") if turn == "from_english" else ("text", "en")
    if turn == "within":
        answering = asked
    parts = [sentence for row in window for sentence in sentences(row[asked])]
    whole = " ".join(row[answering] for row in window)
    if len(parts) < 2:
        return
    for sentence in chooser.sample(parts, min(3, len(parts))):
        if turn != "within" or chooser.random() < _WORDS_KEPT:
            yield sentence, whole
        elif len(parts) > 2:
            yield sentence, " ".join(part for part in parts if part != sentence)


def sentences(text: str) -> list[str]:
    """The sentences of a text that are long enough to mean something."""
    found = [part.strip() for part in _BETWEEN.split(text)]
    return [part for part in found if _weight(part) >= _SHORTEST]


def _weight(text: str) -> int:
    """Letters, and the vowel signs that other scripts write as marks."""
    return sum((3 if character >= "⺀" else 1) for character in text if category(character)[0] in "LM")
