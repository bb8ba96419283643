"""Every knob of the encoder, checked when it is set.

Knows the names and the allowed values; knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from polyvec.errors import InputError

Augmentation = Literal["fixed", "min", "none"]
Skiplist = Literal["none", "stanford", "unicode"]
LongDocuments = Literal["cut", "window"]
Precision = Literal["fp32", "bf16", "fp16", "int8", "auto"]
Backend = Literal["torch", "onnx", "openvino"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "query_augmentation": ("fixed", "min", "none"),
    "skiplist": ("none", "stanford", "unicode"),
    "long_documents": ("cut", "window"),
    "precision": ("fp32", "bf16", "fp16", "int8", "auto"),
    "backend": ("torch", "onnx", "openvino"),
}


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How to encode. None means: what the checkpoint says."""

    dim: int | None = None  # vector size: picks a Matryoshka head
    truncate: bool = False  # where no head has that size: cut the vectors to it and normalise again
    heads: Sequence[int] | None = None  # new, untrained heads of these sizes on a plain encoder
    query_length: int | None = None  # tokens that short queries are padded to; never a limit
    document_length: int | None = None  # tokens a document may have, markers included
    query_augmentation: Augmentation | None = None  # fixed: pad to query_length; min: the same, not beyond; none
    attend_to_mask: bool | None = None  # whether the model sees the mask tokens it is padded with
    skiplist: Skiplist | None = None  # document tokens whose vectors are dropped
    long_documents: LongDocuments = "cut"  # cut at document_length, or overlapping windows of it
    window_overlap: int = 32  # tokens that neighbouring windows share
    bigrams: float | None = None  # weight of neighbouring tokens' hash in each vector; 0 takes it out
    pool_factor: float = 1.0  # keep about 1/pool_factor of a document's vectors
    precision: Precision = "fp32"  # arithmetic; auto measures this machine
    backend: Backend = "torch"
    device: str | None = None  # None: a GPU where there is one
    threads: int | None = None  # torch's threads, for the whole process; None leaves them alone
    batch_tokens: int = 4096  # tokens a forward pass may hold

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise InputError(f"{name}={value!r}: expected one of {', '.join(allowed)}.")
        for name in ("dim", "query_length", "document_length", "threads", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{name}={value!r}: expected a whole number, at least 1.")
        if isinstance(self.window_overlap, bool) or not isinstance(self.window_overlap, int) or self.window_overlap < 0:
            raise InputError(f"window_overlap={self.window_overlap!r}: expected a whole number of tokens, at least 0.")
        if self.bigrams is not None and not 0 <= self.bigrams < float("inf"):
            raise InputError(f"bigrams={self.bigrams!r}: expected a weight such as 0.65, or 0 for none.")
        pool = self.pool_factor
        if isinstance(pool, bool) or not isinstance(pool, (int, float)) or not 1 <= pool < float("inf"):
            raise InputError(
                f"pool_factor={self.pool_factor!r}: expected 1 (no pooling) or more; 2 halves the vectors."
            )
        if self.heads is not None:
            object.__setattr__(self, "heads", _checked_heads(self.heads))
        if self.precision == "fp16" and self.device is not None and self.device.startswith("cpu"):
            raise InputError("precision='fp16' is for GPUs; on a CPU choose fp32, bf16, int8 or auto.")

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain JSON values."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def _checked_heads(heads: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(heads)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise InputError(f"heads={heads!r}: expected vector sizes such as (64, 128).")
    if len(set(sizes)) != len(sizes):
        raise InputError(f"heads={heads!r}: each size may be given once.")
    return sizes
