"""A query and a document, both encoded -> which token met which, and how far each match stands out.

Starts from token vectors with character offsets; knows nothing about models or indexes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.encoder import Encoded

# A short document says little about what a query token usually finds: as if it held this many usual tokens more.
_USUAL_TOKENS = 4
_USUAL_SIMILARITY = 0.2
_USUAL_DEVIATION = 0.15


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """One query token and the document token it found.

    Attributes:
        query_token: As it stands in the query; "" for markers and mask tokens.
        query_span: Its characters in the query; None for markers and mask tokens.
        document_token: As it stands in the text; "" for markers.
        document_span: Its characters in the text; None for markers.
        similarity: Of the two, from -1 to 1.
        prominence: How far the match stands above what the query token finds in the document otherwise, from 0. A content word
            finds one token that is like it among many that are not; "the" and "a" find a little of themselves everywhere.
    """

    query_token: str
    query_span: tuple[int, int] | None
    document_token: str
    document_span: tuple[int, int] | None
    similarity: float
    prominence: float


def match_tokens(
    query: str, query_tokens: Encoded, text: str, document_tokens: Encoded
) -> tuple[tuple[TokenMatch, ...], float]:
    """Match every query token with its best document token.

    Args:
        query: The question.
        query_tokens: Its encoding.
        text: The document's text, as it was encoded.
        document_tokens: Its encoding.

    Returns:
        The matches in the order of the query's tokens, and the sum of their similarities: the MaxSim score.

    Raises:
        InputError: The document's vectors are pooled: a pooled vector stands for several tokens.
    """
    if document_tokens.offsets is None or query_tokens.offsets is None:
        raise InputError("Pooled token vectors cannot be explained: encode the document with pool_factor=1.")
    similarities = query_tokens.vectors @ document_tokens.vectors.T
    best = similarities.argmax(axis=1)
    values = similarities[np.arange(len(best)), best]
    prominences = _prominences(similarities, values)
    matches = []
    for position, found in enumerate(best.tolist()):
        query_span = _span(query_tokens.offsets[position])
        document_span = _span(document_tokens.offsets[found])
        matches.append(
            TokenMatch(
                query_token=query[slice(*query_span)] if query_span else "",
                query_span=query_span,
                document_token=text[slice(*document_span)] if document_span else "",
                document_span=document_span,
                similarity=float(values[position]),
                prominence=float(prominences[position]),
            )
        )
    return tuple(matches), float(values.sum())


def _prominences(similarities: npt.NDArray[np.float32], best: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(q, t) similarities and (q,) best ones -> (q,): the excess over the mean, times the same in standard deviations.

    The excess alone favors tokens whose similarities all spread widely, the standard score alone favors faint matches.
    """
    count = similarities.shape[1] + _USUAL_TOKENS
    wide = similarities.astype(np.float64)
    mean = (wide.sum(axis=1) + _USUAL_TOKENS * _USUAL_SIMILARITY) / count
    squares = (wide**2).sum(axis=1) + _USUAL_TOKENS * (_USUAL_SIMILARITY**2 + _USUAL_DEVIATION**2)
    variance = np.maximum(squares / count - mean**2, 1e-6)
    excess = np.maximum(best - mean, 0.0)
    return np.asarray(excess**2 / np.sqrt(variance))


def _span(offset: Any) -> tuple[int, int] | None:
    start, end = int(offset[0]), int(offset[1])
    return (start, end) if end > start else None
