"""A query and a document, both encoded -> which token met which, and which words to highlight.

Starts from token vectors with character offsets; knows nothing about models or indexes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.encoder import Encoded

_SCRIPTS_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR", "KHMER")
_FLOOR = 0.25  # similarity below which a match is not worth marking


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """One query token and the document token it found. Spans are character offsets; None for markers and mask tokens."""

    query_token: str
    query_span: tuple[int, int] | None
    document_token: str
    document_span: tuple[int, int] | None
    similarity: float


@dataclass(frozen=True, slots=True)
class Highlight:
    """A stretch of the document to mark: text[start:end], strength in (0, 1]."""

    start: int
    end: int
    strength: float


@dataclass(frozen=True)
class Explanation:
    """Why a document scored what it did: the matches' similarities add up to the score."""

    query: str
    text: str
    score: float
    matches: tuple[TokenMatch, ...]

    def highlights(self) -> list[Highlight]:
        """Words of the text that query tokens met, in reading order, never overlapping."""
        strongest: dict[tuple[int, int], float] = {}
        for match in self.matches:
            if match.query_span is None or match.document_span is None or _is_punctuation(match.query_token):
                continue
            word = _word_around(self.text, *match.document_span)
            strongest[word] = max(strongest.get(word, 0.0), match.similarity)
        top = max(strongest.values(), default=0.0)
        marked: list[Highlight] = []
        for (start, end), similarity in sorted(strongest.items()):
            if similarity < _FLOOR or _is_punctuation(self.text[start:end]):
                continue
            if marked and start < marked[-1].end:
                continue
            marked.append(Highlight(start, end, round(min(1.0, similarity / top), 4)))
        return marked

    def to_dict(self) -> dict[str, Any]:
        """The explanation as plain JSON values."""
        return {
            "query": self.query,
            "text": self.text,
            "score": self.score,
            "matches": [
                {
                    "query_token": m.query_token,
                    "query_span": m.query_span,
                    "document_token": m.document_token,
                    "document_span": m.document_span,
                    "similarity": m.similarity,
                }
                for m in self.matches
            ],
            "highlights": [[h.start, h.end, h.strength] for h in self.highlights()],
        }


def explain(query: str, query_tokens: Encoded, text: str, document_tokens: Encoded) -> Explanation:
    """Match every query token with its best document token.

    Raises InputError where the document's vectors are pooled: a pooled vector stands for several tokens.
    """
    if document_tokens.offsets is None or query_tokens.offsets is None:
        raise InputError("Pooled token vectors cannot be explained: encode the document with pool_factor=1.")
    similarities = query_tokens.vectors @ document_tokens.vectors.T
    best = similarities.argmax(axis=1)
    values = similarities[np.arange(len(best)), best]
    matches = []
    for position, (found, value) in enumerate(zip(best.tolist(), values.tolist(), strict=True)):
        query_span = _span(query_tokens.offsets[position])
        document_span = _span(document_tokens.offsets[found])
        matches.append(
            TokenMatch(
                query_token=query[slice(*query_span)] if query_span else "",
                query_span=query_span,
                document_token=text[slice(*document_span)] if document_span else "",
                document_span=document_span,
                similarity=value,
            )
        )
    return Explanation(query, text, float(values.sum()), tuple(matches))


def _span(offset: Any) -> tuple[int, int] | None:
    start, end = int(offset[0]), int(offset[1])
    return (start, end) if end > start else None


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(char)[0] in "PZSC" for char in text)


def _word_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a subword span to its word; in scripts without spaces a token is as good as a word."""
    while start < end and text[start].isspace():
        start += 1
    if start == end or _without_spaces(text[start]):
        return start, _with_marks(text, end)
    while start > 0 and _joins(text[start - 1]):
        start -= 1
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
