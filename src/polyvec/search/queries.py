"""Texts -> queries ready to search, each able to explain its hits later."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.encoder import Encoded, LocatesTokens
from polyvec.errors import InputError
from polyvec.index.engine.options import SearchOptions
from polyvec.index.views import ReadableView
from polyvec.search.explain import Explanation, explain
from polyvec.search.hits import Hit
from polyvec.search.retrieve import PreparedQuery

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


GetEncoder = Callable[[], "TokenEncoder"]
ExplainFound = Callable[[str, "Encoded | None", Hit], Explanation]


def prepared_queries(
    texts: Sequence[str], options: SearchOptions, encoder: GetEncoder, explain_found: ExplainFound
) -> Iterator[PreparedQuery]:
    """Encode queries; where only keywords count, the model loads no earlier than a hit is to be explained.

    Args:
        texts: Queries that are checked already.
        options: How to search.
        encoder: Gives the model, loaded when it is first called.
        explain_found: A method of the open index, given (query, its encoding where there is one, hit).

    Returns:
        One prepared query a text, in order.
    """
    if options.mode == "keyword":
        for text in texts:
            yield PreparedQuery(text=text, explainer=QueryExplainer(explain_found, text, None))
        return
    for text, one in zip(texts, encoder().stream_queries(texts), strict=True):
        yield PreparedQuery(text=text, vectors=one.vectors, explainer=QueryExplainer(explain_found, text, one))


class QueryExplainer:
    """Explains the hits of one query while their index is open. It does not keep the index open: hits may outlive it."""

    def __init__(self, explain_found: ExplainFound, query: str, encoded: Encoded | None) -> None:
        self._explain_found = weakref.WeakMethod(explain_found)
        self._query, self._encoded = query, encoded

    def __call__(self, hit: Hit) -> Explanation:
        explain_found = self._explain_found()
        if explain_found is None:
            raise closed_error(hit)
        return explain_found(self._query, self._encoded, hit)


def closed_error(hit: Hit) -> InputError:
    """The error of explaining a hit whose index is closed.

    Args:
        hit: The hit.

    Returns:
        The error, to be raised.
    """
    return InputError(
        f"Hit {hit.id!r} cannot be explained: the index that found it is closed. Open it again and use "
        "index.explain(query, hit)."
    )


def explain_hit(view: ReadableView, encoder: GetEncoder, query: str, encoded: Encoded | None, hit: Hit) -> Explanation:
    """Which token of the query met which token of the hit's document, as it is stored now.

    Args:
        view: The committed state that has the document.
        encoder: Gives the model.
        query: The question.
        encoded: Its encoding where it is at hand; None to encode it.
        hit: The hit to explain.

    Returns:
        The matches.

    Raises:
        InputError: The document was deleted, has another text by now, or was stored without a text.
    """
    if hit.text is None:
        raise InputError(f"Hit {hit.id!r} cannot be explained: it has no stored text.")
    row = view.catalog.rows_of([hit.id]).get(hit.id)
    if row is None:
        raise InputError(
            f"Hit {hit.id!r} cannot be explained: the index holds no such document any more. Search again."
        )
    stored = view.catalog.documents([row])[row]
    text = Document(hit.id, hit.text, hit.metadata).encoded_text
    if stored.text is None or Document(stored.id, stored.text, stored.metadata).encoded_text != text:
        raise InputError(f"Hit {hit.id!r} cannot be explained: the document has another text by now. Search again.")
    if encoded is None:
        (encoded,) = encoder().stream_queries([query])
    return explain(query, encoded, text, stored_document(view.snapshot.vectors(row), text, encoder()))


def stored_document(vectors: npt.NDArray[np.float32], text: str, encoder: TokenEncoder) -> Encoded:
    """A document's stored vectors, which add up to the late score, with the characters that each stands for.

    Where the encoder can say these without a forward pass, none is made. Where what is stored does not fit the text, as after
    pooling, the text is encoded anew.

    Args:
        vectors: (t, dim) float32, as they are stored.
        text: The document's text, as it was encoded.
        encoder: The model.

    Returns:
        The document's encoding.
    """
    if isinstance(encoder, LocatesTokens):
        tokens = encoder.document_tokens(text)
        if tokens is not None and len(tokens.offsets) == len(vectors):
            return Encoded(vectors, tokens.token_ids, tokens.offsets, tokens.truncated)
    (document,) = encoder.stream_documents([text])
    fits = document.offsets is not None and len(vectors) == len(document.vectors)
    return replace(document, vectors=vectors) if fits else document
