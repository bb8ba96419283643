"""Shared by all tests: a tiny deterministic encoder, so that nothing but the encoder's own tests needs a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from polyvec.encoder import Encoded
from polyvec.errors import InputError

settings.register_profile("polyvec", deadline=None)  # tests assert behavior, never a time
settings.load_profile("polyvec")


settings.register_profile(
    "polyvec", deadline=None
)  # how long a test takes says more about the machine than about polyvec
settings.load_profile("polyvec")


class WordEncoder:
    """One unit vector a word, drawn from a seed that the lowercased word makes: equal words meet at similarity 1."""

    def __init__(self, dim: int = 16, *, document_length: int = 64, name: str = "words") -> None:
        self.dim, self.document_length, self.query_length, self.name = dim, document_length, 32, name
        self.fingerprint = f"{name}-{dim}"
        self.encoded = 0

    def settings(self) -> dict[str, Any]:
        return {"model": self.name, "dim": self.dim}

    def _vector(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:8], "little")
        vector = np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def _encode(self, text: str, limit: int) -> Encoded:
        words = list(re.finditer(r"\w+", text))
        if not words:
            raise InputError(f"empty text {text!r}: expected at least one word.")
        kept = words[:limit]
        return Encoded(
            vectors=np.stack([self._vector(word.group()) for word in kept]),
            token_ids=np.array(
                [int(hashlib.sha256(w.group().lower().encode()).hexdigest()[:6], 16) for w in kept], np.int32
            ),
            offsets=np.array([word.span() for word in kept], np.int32),
            truncated=len(words) > limit,
        )

    def stream_queries(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        for text in texts:
            yield self._encode(text, 1000)

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        for text in texts:
            self.encoded += 1
            if progress is not None:
                progress(1)
            yield self._encode(text, self.document_length)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()
