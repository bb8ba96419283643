"""Greek texts as a model reads them best: with the accents they were typed without, and with ? for the Greek question mark.

Capitals go without accents, and people who type quickly leave them out. Every Greek word of two syllables or more has one, so a
text in which no letter has any was typed without. Few words can be written in two ways, so each gets the accent it has most often.
A word never seen gets it where the most frequent word with the longest common ending has it.

The Greek question mark looks like a semicolon and is typed as one. A model that learned from questions of many languages knows
it by ? alone. No text changes its length, so that offsets hold.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("greek.txt")  # recipes/greek_accents.py makes it
_WORD = re.compile("[α-ωΑ-Ω]+")
_ACCENTED = dict(zip("αεηιουω", "άέήίόύώ", strict=True))
_MARKED = re.compile("[ΆΈΉΊΌΎΏΐΪΫάέήίΰϊϋόύώ\u0300-\u036f\u1f00-\u1fff]")  # of Greek of today and of old
_GREEK = re.compile("[\u0370-\u037d\u037f-\u03ff\u1f00-\u1fff]")
_ENTITY = r"(?<!&\w\w)(?<!&\w\w\w)(?<!&\w\w\w\w)(?<!&#\w\w)(?<!&#\w\w\w)"  # &amp; &#39;
_ASKED = re.compile(_ENTITY + r""";(?=$|[\s»”"'’)\]!?.,*_])""")
_SHORTEST, _LONGEST = 2, 8  # letters of an ending


def with_accents(text: str) -> str:
    """A Greek text that was typed without accents, with them; any other text as it is.

    Words in capitals stay: they are abbreviations.

    Returns:
        As many characters as were given.
    """
    if text.isascii() or not _WORD.search(text) or _MARKED.search(text):
        return text
    letters = list(text)
    for place in _WORD.finditer(text):
        word = place.group()
        if not word[1:].islower():
            continue
        for i, letter in enumerate(accented(word.lower()), place.start()):
            letters[i] = letter.upper() if letters[i].isupper() else letter
    return "".join(letters)


def with_question_marks(text: str) -> str:
    """A text with ? for each Greek question mark.

    U+037E is one wherever it stands. A semicolon is one where it ends a word of a text of which every third letter is Greek:
    Greek writes · for a semicolon.

    Returns:
        As many characters as were given.
    """
    text = text.replace("\u037e", "?")
    if text.isascii() or not _ASKED.search(text):
        return text
    if 3 * len(_GREEK.findall(text)) < sum(map(str.isalpha, text)):
        return text
    return _ASKED.sub("?", text)


def accented(word: str) -> str:
    """A word in small letters without accents, with them."""
    bare = word.replace("ς", "σ")
    known = _words().get(bare)
    if known is not None:
        return known[:-1] + word[-1] if word.endswith(("σ", "ς")) else known
    letters = list(word)
    for length in range(min(_LONGEST, len(word) - 1), _SHORTEST - 1, -1):
        if (from_the_end := _endings().get(bare[-length:])) is None:
            continue
        for place in from_the_end:
            if place <= len(letters) and (letter := _ACCENTED.get(letters[-place])):
                letters[-place] = letter
        break
    return "".join(letters)


def without_accents(word: str) -> str:
    """A word in small letters as it is typed without accents, with σ at its end too."""
    parts = unicodedata.normalize("NFD", word)
    return "".join(part for part in parts if not unicodedata.combining(part)).replace("ς", "σ")


@cache
def _words() -> dict[str, str]:
    """The words that were seen, most frequent first, by what they are without accents."""
    return {without_accents(form): form for form in TABLE.read_text(encoding="utf-8").split()}


@cache
def _endings() -> dict[str, tuple[int, ...]]:
    """Where the most frequent word with an ending has its accents, counted from the end."""
    found: dict[str, tuple[int, ...]] = {}
    for bare, form in _words().items():
        places = tuple(len(form) - i for i, letter in enumerate(form) if letter == _ACCENTED.get(bare[i]))
        for length in range(_SHORTEST, min(_LONGEST, len(bare) - 1) + 1):
            found.setdefault(bare[-length:], places)
    return found
