"""What indexing, searching, evaluating and reranking ask of an encoder, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from polyvec.encoder.encoded import Encoded, TextTokens


class TokenEncoder(Protocol):
    """Turns texts into token vectors. `Encoder` is one; any object with these members can take its place."""

    @property
    def name(self) -> str:
        """What the model is called, in messages and reports."""

    @property
    def fingerprint(self) -> str:
        """A short stable name for "the same vectors": an index is searched only with the fingerprint that made it."""

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""

    @property
    def document_length(self) -> int:
        """Tokens of a document that are encoded, at most."""

    def settings(self) -> dict[str, Any]:
        """Keyword arguments with which `Encoder` makes the same vectors, as plain JSON values; an index stores them."""

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """One encoding for each query, in order."""

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        """One encoding for each document, in order.

        Args:
            texts: A stream, which may be read ahead.
            progress: Called with the number of documents just encoded.
        """


@runtime_checkable
class LocatesTokens(Protocol):
    """A `TokenEncoder` that can also say which characters each vector of a document stands for, without computing vectors."""

    def document_tokens(self, text: str) -> TextTokens | None:
        """The tokens of a document that get a vector; None where a vector stands for several of them."""
