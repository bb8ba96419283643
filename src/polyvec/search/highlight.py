"""The explanations of one search's hits -> which words met, and which of them to highlight.

Pure functions: token matches become matches of whole words, each with a weight that says how much it decided.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from polyvec.search.matches import TokenMatch

_SCRIPTS_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR", "KHMER")
_LEAST_SIMILARITY = 0.25  # a match below this is none, however bare the rest of the document
_LEAST_WEIGHT = 0.3  # a match below this share of the strongest one did not decide: its weight is 0
_LEAST_STRONGEST = 2.0  # prominence; where nothing stands out so far, nothing gets the full weight

Span = tuple[int, int]


class Explained(Protocol):
    """What is highlighted: a query, a text, and the tokens that met."""

    @property
    def query(self) -> str:
        """The query's text."""

    @property
    def text(self) -> str:
        """The document's text, as it was encoded."""

    @property
    def matches(self) -> tuple[TokenMatch, ...]:
        """One match a query token."""


@dataclass(frozen=True, slots=True)
class WordMatch:
    """A word of the query and a word of the document that met.

    Attributes:
        query_span: Its characters in the query.
        document_span: Its characters in the text.
        similarity: Of the best of their tokens, from -1 to 1.
        weight: From 0, for a match that did not decide, to 1, for the strongest match of the search.
    """

    query_span: Span
    document_span: Span
    similarity: float
    weight: float

    def to_dict(self) -> dict[str, object]:
        """The match as plain JSON values."""
        return {
            "query_span": list(self.query_span),
            "document_span": list(self.document_span),
            "similarity": round(self.similarity, 4),
            "weight": self.weight,
        }


@dataclass(frozen=True, slots=True)
class Highlight:
    """A stretch of the document to mark: text[start:end].

    Attributes:
        start: Its first character.
        end: The character behind it.
        strength: How much its match decided, in (0, 1].
    """

    start: int
    end: int
    strength: float


def word_matches(explanations: Sequence[Explained]) -> list[list[WordMatch]]:
    """Which words met in each hit of one search, and how much each match decided.

    A match counts by its prominence: how far it stands above what that query token finds otherwise. So content words get
    weight, and "the", "a" and special tokens get none. The strongest match of all the hits has weight 1.

    Args:
        explanations: One a hit, all of the same query. One hit alone is weighed against itself.

    Returns:
        For each hit its matches, by query word and then by document word. Spans of the documents' words never overlap in part.
    """
    met = [_met(one) for one in explanations]
    strongest = max((prominence for words in met for _, prominence in words.values()), default=0.0)
    top = max(strongest, _LEAST_STRONGEST)
    return [
        [
            WordMatch(query_span, document_span, similarity, _weight(prominence / top))
            for (query_span, document_span), (similarity, prominence) in sorted(words.items())
        ]
        for words in met
    ]


def highlights(words: Iterable[WordMatch]) -> list[Highlight]:
    """The words of one document that have weight, in reading order, never overlapping.

    Args:
        words: As `word_matches` weighed them.

    Returns:
        What to mark; the strength of a word is the weight of its strongest match.
    """
    strongest: dict[Span, float] = {}
    for word in words:
        if word.weight:
            strongest[word.document_span] = max(strongest.get(word.document_span, 0.0), word.weight)
    return [Highlight(start, end, weight) for (start, end), weight in sorted(strongest.items())]


def _weight(share: float) -> float:
    return round(share, 4) if share >= _LEAST_WEIGHT else 0.0


def _met(explained: Explained) -> dict[tuple[Span, Span], tuple[float, float]]:
    """(query word, document word) -> the best similarity and the best prominence of their tokens."""
    pairs: list[tuple[Span, Span, TokenMatch]] = []
    for match in explained.matches:
        if match.query_span is None or match.document_span is None:
            continue
        if _has_letters(explained.query, match.query_span) and _has_letters(explained.text, match.document_span):
            query_word = _word_around(explained.query, *match.query_span)
            document_word = _word_around(explained.text, *match.document_span)
            pairs.append((query_word, document_word, match))
    whole_query = _merged(pair[0] for pair in pairs)
    whole_text = _merged(pair[1] for pair in pairs)
    met: dict[tuple[Span, Span], tuple[float, float]] = {}
    for query_word, document_word, match in pairs:
        key = whole_query[query_word], whole_text[document_word]
        similarity, prominence = met.get(key, (match.similarity, 0.0))
        counted = match.prominence if match.similarity >= _LEAST_SIMILARITY else 0.0
        met[key] = max(similarity, match.similarity), max(prominence, counted)
    return met


def _merged(spans: Iterable[Span]) -> dict[Span, Span]:
    """Each span -> itself, or the stretch that spans overlapping it make together."""
    groups: list[tuple[Span, list[Span]]] = []
    for start, end in sorted(set(spans)):
        if groups and start < groups[-1][0][1]:
            (first, last), members = groups[-1]
            groups[-1] = (first, max(last, end)), [*members, (start, end)]
        else:
            groups.append(((start, end), [(start, end)]))
    return {member: whole for whole, members in groups for member in members}


def _has_letters(text: str, span: Span) -> bool:
    """Whether there is more in the span than punctuation, symbols and spaces."""
    return any(unicodedata.category(char)[0] not in "PZSC" for char in text[slice(*span)])


def _word_around(text: str, start: int, end: int) -> Span:
    """Widen a subword span to its word; in scripts without spaces a token is as good as a word."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start == end:
        return start, end
    if not _without_spaces(text[start]):
        while start > 0 and _joins(text[start - 1]):
            start -= 1
    if _without_spaces(text[end - 1]):
        return start, _with_marks(text, end)
    while end < len(text) and _joins(text[end]):
        end += 1
    return start, end


def _with_marks(text: str, end: int) -> int:
    while end < len(text) and unicodedata.category(text[end]) in ("Mn", "Mc"):
        end += 1
    return end


def _joins(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN" and not _without_spaces(char)


def _without_spaces(char: str) -> bool:
    return unicodedata.name(char, "").startswith(_SCRIPTS_WITHOUT_SPACES)
