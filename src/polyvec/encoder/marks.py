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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("vietnamese.txt")  # recipes/vietnamese_marks.py makes it
_WORD = re.compile("[A-Za-z]+")
_READ = 48  # words by which a text is judged
_UNKNOWN = -1.5  # what a word that is no Vietnamese syllable says for it
_ENOUGH = 1.5  # sum of what the words say, from which a text is Vietnamese
_DISCOUNT = 0.5  # taken from each count of a pair, for pairs that were never seen (Ney et al., 1994)
_START = "^"


@dataclass(frozen=True, slots=True)
class Syllables:
    """What was seen of Vietnamese.

    Attributes:
        says: For each syllable without marks, how much it says for Vietnamese: the logarithm of how much more often it comes there
            than in other languages.
        forms: For each of these, the ways to write it with marks.
        counts: How often a form was seen.
        total: The sum of these.
    """

    says: dict[str, float]
    forms: dict[str, list[str]]
    counts: dict[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """How often one form came right after another, and after how many others it did at all."""

    counts: dict[tuple[str, str], int]
    after: dict[str, int]
    kinds: dict[str, int]


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
    says = syllables().says
    if sum(word in says for word in words) < 2:
        return False
    return sum(says.get(word.lower(), _UNKNOWN) for word in words) > _ENOUGH


def table_name() -> str:
    """A short name for what the table says: with another, texts get other marks and so other vectors."""
    return hashlib.sha256(TABLE.read_bytes()).hexdigest()[:16]


def _most_likely(words: Sequence[str]) -> list[str]:
    """The forms that are most likely together, a form a word (Viterbi, 1967). Words that are no syllables stay."""
    known, pairs = syllables(), _pairs()
    best: dict[str, tuple[float, str]] = {_START: (0.0, "")}
    steps = []
    for word in words:
        now = {}
        for form in known.forms.get(word, [word]):
            alone = (known.counts.get(form, 0) + 0.1) / (known.total + 1000)
            now[form] = max(
                (value + math.log(_chance(pairs, before, form, alone)), before) for before, (value, _) in best.items()
            )
        steps.append(now)
        best = now
    found: list[str] = []
    form = max(best, key=lambda one: best[one][0])
    for now in reversed(steps):
        found.append(form)
        form = now[form][1]
    return found[::-1]


def _chance(pairs: Pairs, before: str, form: str, alone: float) -> float:
    """How likely a form is right after another: counts less a discount, which goes to what the form is alone."""
    after = pairs.after.get(before, 0)
    if not after:
        return alone
    seen = max(pairs.counts.get((before, form), 0) - _DISCOUNT, 0.0)
    return (seen + _DISCOUNT * pairs.kinds[before] * alone) / after


@cache
def syllables() -> Syllables:
    """The first part of the table, read once."""
    says: dict[str, float] = {}
    forms: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for line in _part(0):
        plain, weight, *found = line.split(" ")
        says[plain] = float(weight)
        spelled = dict(zip(found[::2], map(int, found[1::2]), strict=True))
        forms[plain] = list(spelled)
        counts.update(spelled)
    return Syllables(says, forms, counts, sum(counts.values()))


@cache
def _pairs() -> Pairs:
    """The second part, which only Vietnamese texts need."""
    counts: dict[tuple[str, str], int] = {}
    after: dict[str, int] = {}
    kinds: dict[str, int] = {}
    for line in _part(1):
        before, *found = line.split(" ")
        spelled = dict(zip(found[::2], map(int, found[1::2]), strict=True))
        counts.update({(before, form): count for form, count in spelled.items()})
        after[before], kinds[before] = sum(spelled.values()), len(spelled)
    return Pairs(counts, after, kinds)


def _part(number: int) -> list[str]:
    """Lines of one of the two parts of the table, between which an empty line stands."""
    return TABLE.read_text(encoding="utf-8").rstrip("\n").split("\n\n")[number].split("\n")
