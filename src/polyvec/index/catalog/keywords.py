"""Text -> the tokens that keyword search counts, in any script.

Runs of letters, marks and digits, folded, are tokens; an emoji is one too. Punctuation and other signs separate tokens and are not
searched: C++ is found as c, don't as don and t. Scripts that write no spaces between words (Chinese, Japanese, Thai, Khmer,
Javanese ...) become overlapping pairs of characters, for documents and queries alike, so that a word is found wherever it
stands in running text; a query of a single character finds it there as well.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from polyvec.index.catalog.folding import folded

# Blocks of the scripts whose runs hold several words. Tibetan is not among them: it marks the end of each syllable.
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF), (0x1A00, 0x1AAF), (0xAA80, 0xAADF),  # Tai Le, New Tai Lue, Buginese, Tai Tham, Tai Viet
    (0x1B00, 0x1B7F), (0x1BC0, 0x1BFF), (0xA930, 0xA95F), (0xA980, 0xA9DF), (0xAA00, 0xAA5F),  # Balinese to Cham
    (0x2E80, 0x312F), (0x31A0, 0x33FF), (0xF900, 0xFAFF),  # kana, Bopomofo, Han
    (0xA000, 0xA4CF),  # Yi
    (0x11000, 0x1107F), (0x11300, 0x1137F), (0x11700, 0x1174F), (0x11900, 0x1195F), (0x11EE0, 0x11F5F),  # Brahmi to Kawi
    (0x16FE0, 0x16FFF), (0x1AFF0, 0x1B2FF),  # marks of Tangut and Khitan, kana, Nushu
)  # fmt: skip
_LETTERS_ONLY = (
    "\u3400-\u4dbf\u4e00-\u9fff\U00012000-\U0001254f\U00013000-\U0001342f\U00013440-\U0001467f"  # Han, cuneiform,
)
_LETTERS_ONLY += "\U00017000-\U00018d8f\U00020000-\U0003ffff"  # hieroglyphs, Tangut, Khitan
_PICTURES = "\u231a-\u23ff\u25a0-\u2767\u2794-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_MARK_BLOCKS = (
    (0x300, 0x3100),
    (0xA600, 0xAC00),
    (0xFB00, 0xFE30),
    (0x10000, 0x12000),
    (0x16A00, 0x17000),
    (0x1BC00, 0x1F000),
)
# A few wide ranges around those blocks: a quick answer for texts that have none of it.
_NEAR_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u1bff\u2e80-\ua4cf\ua900-\uaadf\uf900-\ufaff\U00011000-\U0003ffff]")
_ASCII_WORD = re.compile("[a-z0-9]+")
_MOST_QUERY_TOKENS = 512  # SQLite refuses expressions of many thousand terms


class Term(NamedTuple):
    """One token of a query.

    Attributes:
        token: As the keyword index stores it.
        prefix: Whether any token that begins with it counts, because it is a single character of an unspaced script.
    """

    token: str
    prefix: bool


def tokenize(text: str) -> list[str]:
    """Every token that finds a text: its words, emoji and pairs in order, and each single character of unspaced scripts."""
    tokens: list[str] = []
    for run, unspaced in _runs(text):
        tokens += _pairs(run) if unspaced else [run]
        tokens += run if unspaced and len(run) > 1 else ""
    return tokens


def counted_tokens(text: str) -> list[str]:
    """The tokens of a text without the single characters that pairs hold already: what BM25 counts, and its baseline."""
    return [token for run, unspaced in _runs(text) for token in (_pairs(run) if unspaced else [run])]


def indexed_tokens(text: str) -> list[str]:
    """What the keyword index stores of a text: `counted_tokens`, and the last character of each run of an unspaced script.

    Every character of such a run then begins exactly one token, so that `tokenize`'s single characters need not be stored.
    """
    tokens: list[str] = []
    for run, unspaced in _runs(text):
        if unspaced and len(run) > 1:
            tokens += _pairs(run)
            tokens.append(run[-1])
        else:
            tokens.append(run)
    return tokens


def query_terms(query: str) -> list[Term]:
    """The distinct tokens of a query, in order, at most 512."""
    terms: dict[Term, None] = {}
    for run, unspaced in _runs(query):
        alone = unspaced and len(run) == 1
        terms |= dict.fromkeys(Term(token, alone) for token in (_pairs(run) if unspaced else [run]))
    return list(terms)[:_MOST_QUERY_TOKENS]


def match_expression(query: str) -> str:
    """The query as FTS5 wants it: any of its terms. Empty without tokens."""
    return " OR ".join(map(quoted, query_terms(query)))


def quoted(term: Term) -> str:
    """One term for FTS5, quoted, so that nothing in it is syntax."""
    return f'"{term.token}"*' if term.prefix else f'"{term.token}"'


def _runs(text: str) -> list[tuple[str, bool]]:
    """Runs of letters, marks and digits, and emoji; and whether a run is of unspaced scripts."""
    plain = folded(text)
    if plain.isascii():
        return [(word, False) for word in _ASCII_WORD.findall(plain)]
    words, unspaced, breaks = _patterns()
    if _NEAR_UNSPACED.search(plain) is None:
        return [(word, False) for word in words.findall(plain)]
    if "\u200b" in plain:
        plain = breaks.sub("", plain)
    return [(run, unspaced.match(run) is not None) for run in words.findall(plain)]


def _pairs(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Runs; whether one is of unspaced scripts; zero-width spaces inside such a run. Python's \\w leaves combining marks out."""
    codes = (c for first, last in _UNSPACED_BLOCKS for c in range(first, last + 1))
    letters = _LETTERS_ONLY + "".join(_ranges([c for c in codes if unicodedata.category(chr(c))[0] in "LMN"]))
    inside = re.compile(f"[{letters}]")
    codes = (c for first, last in _MARK_BLOCKS for c in range(first, last))
    marked = [c for c in codes if unicodedata.category(chr(c)) in ("Mn", "Mc")]
    marks = "".join(_ranges([c for c in marked if not inside.match(chr(c))]))
    word = rf"[^\W_{letters}](?:[^\W_{letters}]|[{marks}])*"
    return (
        re.compile(rf"{word}|[{letters}]+|{_FLAG}|(?!\w)[{_PICTURES}]"),
        inside,
        re.compile(rf"(?<=[{letters}])\u200b+(?=[{letters}])"),
    )


def _ranges(codes: list[int]) -> Iterator[str]:
    """Ascending code points as ranges of a character class."""
    start = 0
    for i in range(1, len(codes) + 1):
        if i == len(codes) or codes[i] != codes[i - 1] + 1:
            yield f"{chr(codes[start])}-{chr(codes[i - 1])}"
            start = i
