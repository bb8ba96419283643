"""A text -> the same as people type it: in capitals, without accents or punctuation, with slips of the finger, as keywords, in
Latin letters.

For evaluation and training alike. Each change is drawn from a generator that the caller seeds, and says for every character
which one of the given text it stands for. Letters that a language cannot do without (vowel signs of Hindi or Thai) stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Perturbation = Literal["upper", "lower", "noaccents", "nopunctuation", "typos", "keywords", "latin"]
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)

_SLIPS = 12  # letters of long words, one of which is wrong in a text with slips
_LONG = 4  # letters of a word in which people slip
_KEPT_WORDS = 0.6  # share of words of a keyword query where no word is known to be common
_TURKIC = {"tr", "tur", "az", "aze"}
_GERMAN = {"de", "deu", "ger"}
_GREEK = {"el", "ell", "gre"}
_WORD = re.compile(r"\S+")
_PLAIN = {"đ": "d", "ł": "l", "ø": "o", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ħ": "h"}
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue"}
_ALEFS = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ё": "е"}
_CYRILLIC = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u",
    "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e",
    "ю": "yu", "я": "ya", "і": "i", "ї": "yi", "є": "ye", "ґ": "g", "ё": "yo",
}  # fmt: skip
_HELLENIC = {
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k",
    "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t",
    "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
}  # fmt: skip
_LATIN = {**_CYRILLIC, **_HELLENIC}


@dataclass(frozen=True, slots=True)
class Perturbed:
    """A changed text.

    Attributes:
        text: The text.
        origins: For each of its characters, the place in the given text of the one that it stands for.
    """

    text: str
    origins: tuple[int, ...]


def perturbed(
    text: str, kind: Perturbation, *, lang: str = "und", chance: Random, common: Collection[str] = ()
) -> Perturbed:
    """A text as people type it.

    Args:
        text: The text, written as it should be.
        kind: What is done to it. upper and lower: all letters, as the language does it. noaccents: marks above and below
            Latin and Greek letters, points of Arabic and Hebrew. nopunctuation: punctuation around words, the question mark
            too; inside words it stays. typos: letters swapped, left out, doubled or taken for
            another, one in twelve of long words and at least one. keywords: without its common words, or without two words in
            five where none is known. latin: Cyrillic and Greek in Latin letters.
        lang: Language code of the text, "und" where it is not known.
        chance: What is drawn.
        common: Words that keywords leave out, in lower case.

    Returns:
        The text, and where its characters come from. A text that has nothing to change is given back as it is.
    """
    changed = _CHANGES[kind](text, lang.replace("_", "-").split("-")[0].lower(), chance, common)
    return changed if changed.text.strip() else Perturbed(text, tuple(range(len(text))))


def then(first: Perturbed, second: Perturbed) -> Perturbed:
    """Two changes, the second of which was made to the text of the first."""
    return Perturbed(second.text, tuple(first.origins[place] for place in second.origins))


def _spelled(text: str, letter: Callable[[str], str]) -> Perturbed:
    """Each character replaced by others, or by none."""
    new = [letter(character) for character in text]
    origins = [place for place, characters in enumerate(new) for _ in characters]
    return Perturbed("".join(new), tuple(origins))


def _upper(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    if lang in _TURKIC:
        return _spelled(text, lambda letter: "İ" if letter == "i" else letter.upper())
    if lang in _GREEK:  # capitals go without the accent
        return _spelled(text, lambda letter: _without_marks(letter).upper())
    return _spelled(text, str.upper)


def _lower(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    if lang in _TURKIC:
        return _spelled(text, lambda letter: {"I": "ı", "İ": "i"}.get(letter, letter.lower()))
    return _spelled(text, lambda letter: "i" if letter == "İ" else letter.lower())


def _noaccents(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    umlauts = _UMLAUTS if lang in _GERMAN and chance.random() < 0.5 else {}

    def letter(character: str) -> str:
        small = character.lower()
        plain = umlauts.get(small) or _PLAIN.get(small) or _ALEFS.get(small)
        if plain is None:
            return _without_marks(character)
        return plain if character == small else plain.capitalize()

    return _spelled(text, letter)


def _typos(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    places = [
        place
        for word in _WORD.finditer(text)
        for place in range(word.start() + 1, word.end())
        if word.end() - word.start() >= _LONG and _slips(text[place]) and _slips(text[place - 1])
    ]
    if not places:
        return Perturbed(text, tuple(range(len(text))))
    letters = sorted({text[place].lower() for place in places})
    wrong = set(chance.sample(places, max(1, len(places) // _SLIPS)))
    new: list[tuple[str, int]] = []
    for place, character in enumerate(text):
        if place not in wrong:
            new.append((character, place))
            continue
        slip = chance.randrange(4)
        if slip == 0:  # with the one before
            new.insert(len(new) - 1 if new else 0, (character, place))
        elif slip == 1:
            new += [(character, place), (character, place)]
        elif slip == 2:
            new.append((chance.choice(letters)[0], place))  # the small letter of İ is two characters
    return Perturbed("".join(letter for letter, _ in new), tuple(place for _, place in new))


def _keywords(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    if common:
        kept = [(start, end) for start, end in words if bare(text[start:end]) not in common]
    else:
        wanted = max(2, round(len(words) * _KEPT_WORDS))
        kept = sorted(chance.sample(words, min(wanted, len(words))))
    if not kept:
        kept = words
    places: list[int] = []
    for start, stop in kept:
        end = stop
        while end - 1 > start and unicodedata.category(text[end - 1])[0] == "P":
            end -= 1
        places += [start - 1, *range(start, end)] if places else range(start, end)
    return _taken(text, places)


def _nopunctuation(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    places: list[int] = []
    for word in _WORD.finditer(text):
        start, end = word.span()
        while start < end and unicodedata.category(text[start])[0] == "P":
            start += 1
        while end > start and unicodedata.category(text[end - 1])[0] == "P":
            end -= 1
        if start < end:
            places += [word.start() - 1, *range(start, end)] if places else range(start, end)
    return _taken(text, places)


def _taken(text: str, places: Sequence[int]) -> Perturbed:
    """The characters at some places of a text, any space as a space."""
    return Perturbed("".join(" " if text[place].isspace() else text[place] for place in places), tuple(places))


def _latin(text: str, lang: str, chance: Random, common: Collection[str]) -> Perturbed:
    def letter(character: str) -> str:
        small = character.lower()
        found = _LATIN.get(small)
        if found is None:
            found = _LATIN.get(_without_marks(small))
        if found is None:
            return character
        return found if character == small else found.capitalize()

    return _spelled(text, letter)


_CHANGES: dict[str, Callable[[str, str, Random, Collection[str]], Perturbed]] = {
    "upper": _upper,
    "lower": _lower,
    "noaccents": _noaccents,
    "nopunctuation": _nopunctuation,
    "typos": _typos,
    "keywords": _keywords,
    "latin": _latin,
}


def common_words(texts: Sequence[str], share: float = 0.02) -> frozenset[str]:
    """Words of more than a share of the texts, and of more than one: what a keyword query leaves out.

    Args:
        texts: Of one language.
        share: Of the texts.

    Returns:
        The words in lower case, without punctuation around them.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for word in {bare(match.group()) for match in _WORD.finditer(text)}:
            counts[word] = counts.get(word, 0) + 1
    return frozenset(word for word, count in counts.items() if count > max(1.0, share * len(texts)))


def bare(word: str) -> str:
    """A word in lower case, without punctuation around it."""
    start, end = 0, len(word)
    while start < end and unicodedata.category(word[start])[0] in "PS":
        start += 1
    while end > start and unicodedata.category(word[end - 1])[0] in "PS":
        end -= 1
    return word[start:end].lower()


def _slips(character: str) -> bool:
    """Whether it is a letter of an alphabet: signs of Han and kana are chosen, not spelled."""
    return character.isalpha() and not unicodedata.name(character, "").startswith(
        ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
    )


def _without_marks(letters: str) -> str:
    """Latin and Greek letters without their marks, nothing for loose marks and points of Arabic and Hebrew; others as they are."""
    return letters if letters.isascii() else "".join(map(_unmarked, letters))


def _unmarked(character: str) -> str:
    name = unicodedata.name(character, "")
    if unicodedata.category(character) == "Mn":
        return "" if name.startswith(("COMBINING", "ARABIC", "HEBREW")) else character
    if not name.startswith(("LATIN", "GREEK")):
        return character
    plain = "".join(part for part in unicodedata.normalize("NFD", character) if not unicodedata.combining(part))
    return plain or character
