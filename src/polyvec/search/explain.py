"""Why a document scored what it did: which token met which, and which words to highlight.

Starts from token vectors with character offsets; knows nothing about models or indexes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyvec.search.highlight import Highlight, WordMatch, highlights, word_matches
from polyvec.search.matches import TokenMatch, match_tokens

if TYPE_CHECKING:
    from polyvec.encoder import Encoded


@dataclass(frozen=True)
class Explanation:
    """Why a document scored what it did.

    Attributes:
        query: The question.
        text: What was encoded of the document: its title, if it has one, and its text. Spans are character offsets in it.
        score: MaxSim: the sum of the similarities of the matches.
        matches: The document token that each query token found, in the order of the query's tokens.
    """

    query: str
    text: str
    score: float
    matches: tuple[TokenMatch, ...]

    def words(self) -> list[WordMatch]:
        """Which words met, weighed against each other. `word_matches` weighs the hits of one search together."""
        return word_matches([self])[0]

    def highlights(self) -> list[Highlight]:
        """Words of the text whose matches decided, in reading order, never overlapping."""
        return highlights(self.words())

    def to_dict(self, words: Iterable[WordMatch] | None = None) -> dict[str, Any]:
        """The explanation as plain JSON values.

        Args:
            words: As `word_matches` weighed them among the hits of one search; None for what `words()` gives.

        Returns:
            query, text, score, matches, words, and highlights as [start, end, strength].
        """
        words = self.words() if words is None else list(words)
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
                    "prominence": m.prominence,
                }
                for m in self.matches
            ],
            "words": [word.to_dict() for word in words],
            "highlights": [[h.start, h.end, h.strength] for h in highlights(words)],
        }


def explain(query: str, query_tokens: Encoded, text: str, document_tokens: Encoded) -> Explanation:
    """Match every query token with its best document token.

    Args:
        query: The question.
        query_tokens: Its encoding.
        text: The document's text, as it was encoded.
        document_tokens: Its encoding.

    Returns:
        The matches, whose similarities add up to the MaxSim score.

    Raises:
        InputError: The document's vectors are pooled: a pooled vector stands for several tokens.
    """
    matches, score = match_tokens(query, query_tokens, text, document_tokens)
    return Explanation(query, text, score, matches)
