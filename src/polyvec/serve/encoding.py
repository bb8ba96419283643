"""Query texts that are encoded before the index asks for them, so that those of several requests go through the model together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from polyvec.encoder import Encoded, TokenEncoder
from polyvec.encoder.encoded import TextTokens
from polyvec.encoder.protocol import LocatesTokens

_held = threading.local()


@contextmanager
def holding(encoded: Mapping[str, Encoded]) -> Iterator[None]:
    """Give these encodings to whatever this thread asks a `SharedEncoder` for inside."""
    _held.encoded = encoded
    try:
        yield
    finally:
        _held.encoded = {}


class SharedEncoder:
    """A TokenEncoder that several collections and threads share; within `holding`, queries cost nothing.

    An index asks its encoder for query vectors. Given this one, it gets those that were made together with the texts of other
    requests.
    """

    def __init__(self, encoder: TokenEncoder) -> None:
        self.encoder = encoder

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """What an index compares."""
        return self.encoder.fingerprint

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return self.encoder.dim

    @property
    def document_length(self) -> int:
        """Tokens of a document that are encoded, at most."""
        return self.encoder.document_length

    def settings(self) -> dict[str, Any]:
        """As the encoder has it."""
        return self.encoder.settings()

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """One encoding for each query, in order: the one that this thread holds, or a new one."""
        held: Mapping[str, Encoded] = getattr(_held, "encoded", {})
        waiting = list(texts)
        if all(text in held for text in waiting):
            return iter([held[text] for text in waiting])
        return self.encoder.stream_queries(waiting)

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        """As the encoder has it."""
        return self.encoder.stream_documents(texts, progress=progress)

    def document_tokens(self, text: str) -> TextTokens | None:
        """As the encoder has it; None where it cannot say."""
        return self.encoder.document_tokens(text) if isinstance(self.encoder, LocatesTokens) else None

    def encode_together(self, texts: Iterable[str]) -> dict[str, Encoded]:
        """Encodings by text; a text that comes twice is encoded once."""
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self.encoder.stream_queries(distinct), strict=True))
