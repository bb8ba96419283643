"""Words in capitals -> the same in small letters, where a whole text or a stretch of it is written so.

A model that was trained on ordinary writing reads capitals as rare pieces. A name in capitals among ordinary words stays as it
is: it is an abbreviation. No text changes its length, so that offsets hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"\S+")
_WORDS, _LETTERS = 2, 10  # of a stretch in capitals within a text: fewer are names and abbreviations
_ALL_LETTERS = 5  # of a text that is nothing else: abbreviations rarely have as many
_TURKIC = re.compile("[İĞ]")  # where these stand, I is a capital ı


def without_capitals(text: str) -> str:
    """A text with its stretches of capitals in small letters.

    A stretch is two words in a row or more, of ten letters together, without a small letter or a letter of a script that has no
    capitals. Of a text that is nothing else, five letters are enough. Numbers and punctuation do not end it.

    Returns:
        As many characters as were given; the same text where there is nothing to change.
    """
    if not any(map(str.isupper, text.split())):  # most texts, and quickly
        return text
    stretches = [stretch for stretch in _stretches(text) if _is_written_in_capitals(*stretch, text)]
    if not stretches:
        return text
    parts, done = [], 0
    for start, end, _, _ in stretches:
        parts += [text[done:start], _small(text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def _is_written_in_capitals(start: int, end: int, words: int, letters: int, text: str) -> bool:
    if words >= _WORDS and letters >= _LETTERS:
        return True
    return letters >= _ALL_LETTERS and not any(character.isalpha() for character in text[:start] + text[end:])


def _stretches(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Start, end, number of words in capitals and of their letters, of each stretch."""
    start, end, words, letters = 0, 0, 0, 0
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isupper() and not any(unicodedata.category(character) == "Lo" for character in word):
            start = start if words else match.start()
            end, words, letters = match.end(), words + 1, letters + sum(map(str.isalpha, word))
        elif words and any(map(str.isalpha, word)):
            yield start, end, words, letters
            words, letters = 0, 0
    if words:
        yield start, end, words, letters


def _small(text: str) -> str:
    """Small letters, of which there are as many: i for İ, and ı for I where the writing is Turkish."""
    if _TURKIC.search(text):
        text = text.replace("I", "ı")
    return text.replace("İ", "i").lower()
