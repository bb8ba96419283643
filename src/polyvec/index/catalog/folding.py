"""Text -> the same text without differences that no reader means: written forms, case, and characters nobody sees.

`normalized` unites ways to store one string and keeps case: metadata filters compare by it. `folded` goes on to what a word is
searched by, without case. Both rest on Unicode's compatibility forms (NFKC, case folding). Knows nothing about tokens.
"""

from __future__ import annotations

import functools
import re
import unicodedata

# What has no shape of its own and stands inside words: soft hyphen, joiners, marks of direction, byte order mark, variation
# selectors, fillers, skin tones. Not U+200B and U+FFF9 to U+FFFB, which mark a place between words.
_INVISIBLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2),
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200C, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0x1F3FB, 0x1F3FF), (0xE0000, 0xE0FFF),
)  # fmt: skip
_DROPPED = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _INVISIBLE) + "]")
# Points that vocalize Hebrew, Arabic and Syriac, and the stroke that stretches an Arabic word: most texts leave them out.
_POINTS = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670"
_POINTS += "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0730-\u074a\u08ca-\u08e1\u08e3-\u08ff"
_DROPPED_POINTS = re.compile(f"[{_POINTS}]")
# The dot of a small i or j that Turkish and Lithuanian case rules leave behind, after marks below the letter.
_DOT = re.compile("([ij][\u0316-\u0333\u0339-\u033c\u0347-\u0349\u034d\u034e\u0353-\u0356]*)\u0307")
# Iota below a Greek letter: case folding puts it behind the letter's other marks.
_IOTA = re.compile("[\u0345\u1f80-\u1ffc]")
_NEAR_SYMBOLS = re.compile("[\u2100-\u214b\u2460-\u24ef\u3200-\u33ff\U0001f100-\U0001f1e5]")  # of `_letter_symbols`
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# Sara am of Thai and Lao: one vowel for its readers, which NFKC takes apart; some write its ring before a tone mark.
_SARA_AM = re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32|\u0ecd([\u0ec8-\u0ecb]?)\u0eb2")
_LETTER_APOSTROPHE = re.compile("(?<=[^\\W_])[\u02bb-\u02bd\ua78b\ua78c]|[\u02bb-\u02bd\ua78b\ua78c](?=[^\\W_])")
_ARABIC = "[\u0620-\u065f\u066e-\u06d3\u06d5\u06e5-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff]"
_COMPOUND = re.compile(f"{_ARABIC}+(?:\u200c+{_ARABIC}+)+")


def normalized(text: str) -> str:
    """The text in NFKC without format characters: composed and decomposed, wide and narrow forms become one. Keeps case."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _DROPPED.sub("", text))


def folded(text: str) -> str:
    """The text as words are compared: normalized, case-folded, digits of any script as 0 to 9.

    Vocalization points of Hebrew, Arabic and Syriac go, other accents stay. Turkish dotted and dotless i both become i. A compound
    in Arabic script with zero-width non-joiners is followed by its parts.
    """
    if text.isascii():
        return text.lower()
    text = _COMPOUND.sub(_with_parts, text) if "\u200c" in text else text
    if _NEAR_SYMBOLS.search(text):
        text = _letter_symbols().sub(r" \g<0> ", text)
    text = normalized(text)
    text = unicodedata.normalize("NFD", text) if _IOTA.search(text) else text
    text = unicodedata.normalize("NFKC", text.casefold()).replace("\u0131", "i")
    if "\u0307" in text:
        text = _DOT.sub(r"\1", unicodedata.normalize("NFD", text))
    if _DROPPED_POINTS.search(text):
        text = _DROPPED_POINTS.sub("", unicodedata.normalize("NFD", text))
    if "\u0e4d" in text or "\u0ecd" in text:
        text = _SARA_AM.sub(_sara_am, text)
    text = _LETTER_APOSTROPHE.sub(" ", unicodedata.normalize("NFC", text))
    return _FOREIGN_DIGIT.sub(_digit, text)


def _with_parts(match: re.Match[str]) -> str:
    word = match.group()
    return f"{word} {word.replace(chr(0x200C), ' ')}"


def _sara_am(match: re.Match[str]) -> str:
    thai, lao = match.groups()
    return f"{lao}\u0eb3" if thai is None else f"{thai}\u0e33"


def _digit(match: re.Match[str]) -> str:
    return str(unicodedata.decimal(match.group()))


@functools.cache
def _letter_symbols() -> re.Pattern[str]:
    """Symbols such as the trade mark sign whose compatibility form has letters: no part of the word they follow."""
    symbols = []
    for code in (*range(0x2100, 0x214C), *range(0x2460, 0x24F0), *range(0x3200, 0x3400), *range(0x1F100, 0x1F1E6)):
        char = chr(code)
        if unicodedata.category(char) == "So" and re.search(r"[A-Za-zα-ωΑ-Ω]", unicodedata.normalize("NFKD", char)):
            symbols.append(char)
    return re.compile(f"[{''.join(symbols)}]")
