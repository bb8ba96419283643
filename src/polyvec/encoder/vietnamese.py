"""Vietnamese typed without its marks -> the same with them, by how often words and pairs of words were seen.

Vietnamese is often typed without marks, and a model that was trained on ordinary writing reads such a text as rare pieces: one
in two words can be several others. Which one was meant, the words beside it tell. A text in which any letter has a mark stays as
it is, and so does a text of another language. No text changes its length, so that offsets hold.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

from polyvec.encoder import greek

TABLE = Path(__file__).with_name("vietnamese.txt")  # recipes/vietnamese_marks.py makes it
_WORD = re.compile("[A-Za-z]+")
_READ = 48  # words by which a text is judged
_UNKNOWN = -1.5  # what a word that is no Vietnamese syllable says for it
_ENOUGH = 1.5  # sum of what the words say, from which a text is Vietnamese
_DISCOUNT = 0.5  # taken from each count of a pair, for pairs that were never seen (Ney et al., 1994)
_START = "^"
_WORDS = 160_000  # of the texts that the table was counted in, roughly: what a word never seen is weighed by


def with_marks(text: str) -> str:
    """A Vietnamese text that was typed without marks, with them; any other text as it is.

    Returns:
        As many characters as were given.
    """
    if not text.isascii() and any(character.isalpha() and not character.isascii() for character in text):
        return text
    if not is_vietnamese(_WORD.findall(text[: 16 * _READ])[:_READ]):
        return text
    places = list(_WORD.finditer(text))
    letters = list(text)
    for place, form in zip(places, _most_likely([place.group().lower() for place in places]), strict=True):
        for i, letter in enumerate(form, place.start()):
            letters[i] = letter.upper() if letters[i].isupper() else letter
    return "".join(letters)


def is_vietnamese(words: Sequence[str]) -> bool:
    """Whether words without marks are Vietnamese; two at least have to be syllables of it in small letters, or it may be a name."""
    known = syllables()
    if sum(word in known for word in words) < 2:
        return False
    return sum(map(_says, map(str.lower, words))) > _ENOUGH


@cache
def table_name() -> str:
    """A short name for what the tables say, that of Greek too: with others, texts get other marks and so other vectors."""
    return hashlib.sha256(TABLE.read_bytes() + greek.TABLE.read_bytes()).hexdigest()[:16]


def forms(word: str) -> dict[str, int]:
    """The ways to write a syllable with its marks, and how often each was seen; a word that is none stays as it is."""
    found = syllables().get(word)
    return {word: 0} if found is None else _counts(found.partition(" ")[2])


@cache
def syllables() -> dict[str, str]:
    """The first part of the table: for each syllable without marks, what it says for Vietnamese and its forms."""
    return _part(0)


def _says(word: str) -> float:
    """How much a word says for Vietnamese: the logarithm of how much more often it comes there than in other languages."""
    found = syllables().get(word)
    return _UNKNOWN if found is None else float(found.partition(" ")[0])


def _most_likely(words: Sequence[str]) -> list[str]:
    """The forms that are most likely together, a form a word (Viterbi, 1967). Words that are no syllables stay."""
    best: dict[str, tuple[float, str]] = {_START: (0.0, "")}
    steps = []
    for word in words:
        now = {}
        after = {before: _after(before) for before in best}
        for form, count in forms(word).items():
            alone = (count + 0.1) / (_WORDS + 1000)
            now[form] = max(
                (value + math.log(_chance(after[before], form, alone)), before) for before, (value, _) in best.items()
            )
        steps.append(now)
        best = now
    found: list[str] = []
    form = max(best, key=lambda one: best[one][0])
    for now in reversed(steps):
        found.append(form)
        form = now[form][1]
    return found[::-1]


def _chance(after: tuple[dict[str, int], int], form: str, alone: float) -> float:
    """How likely a form is right after another: counts less a discount, which goes to what the form is alone."""
    counts, total = after
    if not total:
        return alone
    return (max(counts.get(form, 0) - _DISCOUNT, 0.0) + _DISCOUNT * len(counts) * alone) / total


@lru_cache(maxsize=4096)
def _after(form: str) -> tuple[dict[str, int], int]:
    """What came right after a form and how often, and the sum of that."""
    counts = _counts(_pairs().get(form, ""))
    return counts, sum(counts.values())


@cache
def _pairs() -> dict[str, str]:
    """The second part, which only Vietnamese texts need."""
    return _part(1)


def _counts(text: str) -> dict[str, int]:
    """ "form count form count" as a table."""
    parts = text.split(" ") if text else []
    return dict(zip(parts[::2], map(int, parts[1::2]), strict=True))


def _part(number: int) -> dict[str, str]:
    """One of the two parts of the table, between which an empty line stands: first word of each line, and what follows it."""
    lines = TABLE.read_text(encoding="utf-8").rstrip("\n").split("\n\n")[number].split("\n")
    return {first: rest for first, _, rest in (line.partition(" ") for line in lines)}
