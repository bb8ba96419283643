"""Texts -> token vectors, each text through the backbone once, whatever the heads and poolings it is looked at through.

For sweeps and lists of results, where many settings meet the same texts. Memory grows with the texts; a single evaluation
takes the plain encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling
from torch import nn

from polyvec.encoder import Encoded, Encoder, TokenEncoder
from polyvec.encoder.torch.bigrams import HashedBigrams
from polyvec.encoder.torch.heads import MatryoshkaHeads
from polyvec.encoder.torch.settings import bigrams_of, set_bigrams

Vectors = npt.NDArray[np.float32]


class Encodings:
    """What one model makes of texts.

    Attributes:
        dims: The heads that will be asked for, None for the model's own dim.
    """

    def __init__(self, model: str | None, dims: Iterable[int | None] = (None,)) -> None:
        self._model = model
        self._kept: dict[tuple[int, str, str], Encoded] = {}
        self._encoder = Encoder(model, backend="torch")  # whose modules are exchanged below
        self._slices = _widened(self._encoder, sorted({self._encoder.dim if dim is None else dim for dim in dims}))
        self._own = self._encoder.dim if self._slices is None else Encoder(model, backend="torch").dim
        self._views: dict[tuple[int, float], TokenEncoder] = {}
        self._others: dict[int, Encoder] = {}

    def encoder(self, dim: int | None = None, pool_factor: float = 1.0) -> TokenEncoder:
        """An encoder of this head and pooling that shares what was encoded before."""
        key = (self._own if dim is None else dim, pool_factor)
        if key not in self._views:
            plain = Encoder(self._model, dim=dim, pool_factor=pool_factor, backend="torch")
            self._views[key] = _View(plain, self, key[0])
        return self._views[key]

    def vectors(
        self, task: str, dim: int, texts: Iterable[str], progress: Callable[[int], None] | None
    ) -> list[Encoded]:
        """Token vectors of one head, not pooled; only texts that are new go through the model."""
        wanted = list(texts)
        wide = self._slices is not None and dim in self._slices
        group = 0 if wide else dim
        missing = list(dict.fromkeys(text for text in wanted if (group, task, text) not in self._kept))
        encoder = self._encoder if wide else self._other(dim)
        encode = encoder.stream_documents if task == "document" else encoder.stream_queries
        for text, one in zip(missing, encode(missing, progress=progress), strict=True):
            self._kept[group, task, text] = one
        found = [self._kept[group, task, text] for text in wanted]
        return [_sliced(one, self._slices[dim]) for one in found] if self._slices is not None and wide else found

    def _other(self, dim: int) -> Encoder:
        if dim not in self._others:
            self._others[dim] = Encoder(self._model, dim=dim, backend="torch")
        return self._others[dim]


class _View:
    """An Encoder in everything but where its vectors come from."""

    def __init__(self, encoder: Encoder, encodings: Encodings, dim: int) -> None:
        self._encoder, self._encodings, self._dim = encoder, encodings, dim
        self._poolings = [module for module in encoder.model if isinstance(module, BaseTokenPooling)]
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
        for one in self._encodings.vectors(task, self._dim, texts, progress):
            yield self._pooled(one, task)

    def _pooled(self, one: Encoded, task: str) -> Encoded:
        poolings = [pooling for pooling in self._poolings if pooling.applies_to(task)]
        if not poolings:
            return one
        rows = torch.from_numpy(one.vectors)
        for pooling in poolings:
            (rows,) = pooling.pool([rows], task=task)
        vectors = torch.nn.functional.normalize(rows, dim=-1).numpy()
        return Encoded(vectors, np.full(len(vectors), -1, np.int32), None, one.truncated)


class _SideBySide(nn.Module):
    """Unit vectors of several heads in one row, one after another."""

    def __init__(self, heads: MatryoshkaHeads, bigrams: HashedBigrams | None, sizes: Sequence[int]) -> None:
        super().__init__()
        self.heads, self.bigrams, self.sizes = heads, bigrams, sizes

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        hidden = features["token_embeddings"]
        parts = [self.heads.project(hidden, size).float() for size in self.sizes]
        if self.bigrams is not None:
            parts = [self.bigrams.added(part, features["input_ids"]) for part in parts]
        features["token_embeddings"] = torch.cat([nn.functional.normalize(part, dim=-1) for part in parts], dim=-1)
        return features

    def get_embedding_dimension(self) -> int:
        return sum(self.sizes)


def _widened(encoder: Encoder, dims: Sequence[int]) -> dict[int, slice] | None:
    """Let the encoder make the vectors of several heads at once; None where its model has no such heads."""
    for position, module in enumerate(encoder.model):
        if isinstance(module, MatryoshkaHeads):
            sizes = [dim for dim in dims if dim in module.sizes]
            bigrams = bigrams_of(encoder.model)
            set_bigrams(encoder.model, 0)  # each part gets its own
            encoder.model[position] = _SideBySide(module, bigrams, sizes)
            ends = np.cumsum(sizes).tolist()
            return {size: slice(end - size, end) for size, end in zip(sizes, ends, strict=True)}
    return None


def _sliced(one: Encoded, part: slice) -> Encoded:
    rows = one.vectors[:, part]
    unit = np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
    return Encoded(unit, one.token_ids, one.offsets, one.truncated)
