"""Texts -> token vectors, each text through the backbone once for each head, whatever the poolings it goes through.

For sweeps and lists of results, where many settings meet the same texts. Memory grows with the texts; a single evaluation
takes the plain encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from polyvec.encoder import Encoded, Encoder, TokenEncoder


class Encodings:
    """What one model makes of texts.

    Args:
        model: As `Encoder` takes it. It runs as `Encoder` runs it by default: on native kernels where they have it.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._kept: dict[tuple[int, str, str], Encoded] = {}
        self._plain: dict[int | None, Encoder] = {}

    def encoder(self, dim: int | None = None, pool_factor: float = 1.0) -> TokenEncoder:
        """An encoder of this head and pooling that shares what was encoded before.

        Args:
            dim: Of the head; None for the model's own.
            pool_factor: Vectors are merged to one for about so many.

        Raises:
            InputError: The model has no such head.
            MissingExtraError: Pooling needs torch, which is not installed.
        """
        if dim not in self._plain:
            self._plain[dim] = Encoder(self._model, dim=dim)
        plain = self._plain[dim]
        pooled = plain if pool_factor == 1 else Encoder(self._model, dim=dim, pool_factor=pool_factor)
        return _View(pooled, self, plain)

    def vectors(
        self, encoder: Encoder, task: str, texts: Iterable[str], progress: Callable[[int], None] | None
    ) -> list[Encoded]:
        """Token vectors of one head, not pooled; only texts that are new go through the model."""
        wanted = list(texts)
        missing = list(dict.fromkeys(text for text in wanted if (encoder.dim, task, text) not in self._kept))
        encode = encoder.stream_documents if task == "document" else encoder.stream_queries
        for text, one in zip(missing, encode(missing, progress=progress), strict=True):
            self._kept[encoder.dim, task, text] = one
        return [self._kept[encoder.dim, task, text] for text in wanted]


class _View:
    """An Encoder in everything but where its vectors come from: those of `plain` before pooling."""

    def __init__(self, encoder: Encoder, encodings: Encodings, plain: Encoder) -> None:
        self._encoder, self._encodings, self._plain = encoder, encodings, plain
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dim, self.document_length = encoder.dim, encoder.document_length

    def settings(self) -> dict[str, Any]:
        return self._encoder.settings()

    def stream_queries(self, texts: Iterable[str], **settings: Any) -> Iterator[Encoded]:
        return self._encoded("query", texts, **settings)

    def stream_documents(self, texts: Iterable[str], **settings: Any) -> Iterator[Encoded]:
        return self._encoded("document", texts, **settings)

    def _encoded(
        self, task: str, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        for one in self._encodings.vectors(self._plain, task, texts, progress):
            yield one if self._encoder is self._plain else self._encoder.pool(one, task)
