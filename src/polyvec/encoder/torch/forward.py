"""Batches of token ids -> token vectors, without padding where the backbone allows it.

Packed: the sequences of a batch lie one after another in one row, every linear layer sees real tokens only, and
attention runs over each sequence alone, so no mask is ever made and memory grows linearly with length. Padded: the
stock way, for backbones and runtimes that cannot do that. Knows nothing about texts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.encoder.tokens import Piece
from polyvec.errors import InputError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import MultiVectorEncoder

    from polyvec.encoder.torch.lean import MakeLinear, Run, UnpaddedBackbone

Vectors = npt.NDArray[np.float32]

_ATTENTION = "polyvec_packed"
_PACKED_BACKBONES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "jina_embeddings_v3", "modernbert"})
_QUERY_BLOCK = 512  # rows of a sliding-window attention handled at a time
_runs: ContextVar[list[Run]] = ContextVar("polyvec_runs")


class Forward:
    """Runs one model over batches. Safe to call from several threads: they take turns."""

    def __init__(self, model: MultiVectorEncoder, *, linear: MakeLinear | None = None) -> None:
        """Prepare a model.

        Args:
            model: To run.
            linear: The arithmetic of the backbone's linear layers, where the backbone can exchange it.
        """
        self._model = model
        self._lock = threading.Lock()
        self.packed = can_pack(model)
        self._unpadded = _unpadded_backbone(model, linear) if self.packed else None
        if linear is not None and self._unpadded is None:
            raise InputError(
                f"int8 is not available for a {model[0].config.model_type} backbone on {model.device}. Choose another precision."
            )
        if self.packed:
            _register_attention()
            self._position_offset = position_offset(model[0].model)

    def with_linear(self, linear: MakeLinear) -> Forward:
        """The same model with other arithmetic in its backbone's linear layers."""
        return Forward(self._model, linear=linear)

    def __call__(self, pieces: Sequence[Piece]) -> list[Vectors]:
        """Unit vectors of every token of every piece, float32, in the order given."""
        import torch

        with self._lock, torch.inference_mode(), evaluating(self._model):
            return self._packed(pieces) if self.packed else self._padded(pieces)

    def _packed(self, pieces: Sequence[Piece]) -> list[Vectors]:
        import torch

        device = self._model.device
        ids = torch.from_numpy(np.concatenate([piece.ids for piece in pieces]))[None].to(device)
        positions = np.concatenate([np.arange(len(piece)) for piece in pieces]) + self._position_offset
        runs = _runs_of(pieces)
        if self._unpadded is not None:
            hidden = self._unpadded(ids[0], torch.from_numpy(positions).to(device), runs)
            return self._split(self._project(hidden, ids[0]), pieces)
        features: dict[str, Any] = {
            "input_ids": ids,
            "position_ids": torch.from_numpy(positions)[None].to(device),
        }
        if self._model[0].config.model_type != "modernbert":
            features["token_type_ids"] = torch.zeros_like(ids)
        with _packed_attention(self._model[0].model, runs):
            hidden = self._model[0].model(**features).last_hidden_state
        return self._split(self._project(hidden, ids)[0], pieces)

    @staticmethod
    def _split(vectors: torch.Tensor, pieces: Sequence[Piece]) -> list[Vectors]:
        rows: Vectors = vectors.cpu().numpy()
        return np.split(rows, np.cumsum([len(piece) for piece in pieces])[:-1])

    def _padded(self, pieces: Sequence[Piece]) -> list[Vectors]:
        import torch

        width = max(len(piece) for piece in pieces)
        pad = self._model.tokenizer.pad_token_id or 0
        ids = np.full((len(pieces), width), pad, dtype=np.int64)
        mask = np.zeros((len(pieces), width), dtype=np.int64)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece)] = piece.ids
            mask[row, : piece.attended] = 1
        device = self._model.device
        features = {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}
        if "token_type_ids" in self._model.tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        hidden = self._model[0]({**features, "modality": "text"})["token_embeddings"]
        vectors = self._project(hidden, features["input_ids"]).cpu().numpy()
        return [vectors[row, : len(piece)] for row, piece in enumerate(pieces)]

    def _project(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Heads, bigrams and normalization: every module after the backbone that works on one token at a time."""
        import torch

        features = {"token_embeddings": hidden, "input_ids": ids}
        for module in list(self._model)[1:]:
            if _is_tokenwise(module):
                features = module(features)
        return torch.nn.functional.normalize(features["token_embeddings"].float(), dim=-1)


@contextmanager
def evaluating(model: MultiVectorEncoder) -> Iterator[None]:
    """No dropout, even where the model is in the middle of its training."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


def _is_tokenwise(module: Any) -> bool:
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, MultiVectorMask

    return not isinstance(module, (MultiVectorMask, BaseTokenPooling))


def _runs_of(pieces: Sequence[Piece]) -> list[Run]:
    """Neighbors of the same shape, which attention takes in one call."""
    from polyvec.encoder.torch.lean import Run

    shapes = groupby((len(piece), piece.attended) for piece in pieces)
    return [Run(length, attended, len(list(group))) for (length, attended), group in shapes]


def _unpadded_backbone(model: MultiVectorEncoder, linear: MakeLinear | None) -> UnpaddedBackbone | None:
    """The backbone without transformers around it, where it is one of those that this is written for."""
    from polyvec.encoder.torch.lean import SUPPORTED, UnpaddedBackbone, fitting_linear

    config = model[0].config
    if config.model_type not in SUPPORTED or config.hidden_act != "gelu":
        return None
    if config.model_type == "bert" and getattr(config, "position_embedding_type", "absolute") != "absolute":
        return None
    return UnpaddedBackbone(model[0].model, linear or fitting_linear(model[0].model))


def can_pack(model: MultiVectorEncoder) -> bool:
    backbone = model[0]
    return (
        model.device.type == "cpu"  # a GPU would rather have one padded call than many small ones
        and backbone.transformer_task == "feature-extraction"
        and backbone.config.model_type in _PACKED_BACKBONES
    )


def position_offset(backbone: Any) -> int:
    """Where positions begin: RoBERTa's tables start after the padding row, rotary and BERT positions at 0."""
    import torch

    for module in backbone.modules():
        table, padding = getattr(module, "position_embeddings", None), getattr(module, "padding_idx", None)
        if isinstance(table, torch.nn.Embedding) and isinstance(padding, int):
            return padding + 1
    return 0


def _register_attention() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_ATTENTION, _attention)


@contextmanager
def _packed_attention(backbone: Any, runs: list[Run]) -> Iterator[None]:
    """For the time of one forward pass, attention stays within each piece."""
    before = backbone.config._attn_implementation
    token = _runs.set(runs)
    backbone.config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        backbone.config._attn_implementation = before
        _runs.reset(token)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a packed row: (1, heads, T, d) tensors, one call for each run of pieces of the same length."""
    heads, total, size = query.shape[1:]
    out = query.new_empty(1, total, heads, size)
    start = 0
    for run in _runs.get():
        length, attended, count = run.length, run.attended, run.count
        stop = start + length * count

        attend = _within_window if sliding_window is not None and length > sliding_window else _whole
        q, k, v = (_batched(rows, start, count, length) for rows in (query, key, value))
        result = attend(q, k[:, :, :attended], v[:, :, :attended], scaling, sliding_window)
        out[0, start:stop] = result.transpose(1, 2).reshape(stop - start, heads, size)
        start = stop
    return out, None


def _batched(rows: torch.Tensor, start: int, count: int, length: int) -> torch.Tensor:
    """Rows of a packed (1, heads, T, d) tensor as (count, heads, length, d), without a copy where strides allow."""
    heads, size = rows.shape[1], rows.shape[3]
    part = rows[0, :, start : start + count * length]
    return part.reshape(heads, count, length, size).transpose(0, 1)


def _whole(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    import torch

    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling)


def _within_window(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """Attention to tokens less than `window` away, in blocks of queries so that no full mask is made."""
    import torch

    assert window is not None
    n, seen = query.shape[2], key.shape[2]
    blocks = []
    for first in range(0, n, _QUERY_BLOCK):
        last = min(n, first + _QUERY_BLOCK)
        low, high = max(0, first - window + 1), min(seen, last + window - 1)
        rows = torch.arange(first, last, device=query.device)[:, None]
        near = (rows - torch.arange(low, high, device=query.device)).abs() < window
        blocks.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, first:last], key[:, :, low:high], value[:, :, low:high], attn_mask=near, scale=scaling
            )
        )
    return torch.cat(blocks, dim=2)
