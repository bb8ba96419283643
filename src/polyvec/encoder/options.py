"""Every knob of the encoder, checked when it is set.

Knows the names and the allowed values; knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Literal

from polyvec.arguments import flag, list_of, number, one_of, shown, whole_number
from polyvec.errors import InputError

Augmentation = Literal["fixed", "min", "none"]
Skiplist = Literal["none", "stanford", "unicode"]
LongDocuments = Literal["cut", "window"]
Precision = Literal["fp32", "bf16", "fp16", "int8", "auto"]
Backend = Literal["auto", "native", "torch"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "query_augmentation": ("fixed", "min", "none"),
    "skiplist": ("none", "stanford", "unicode"),
    "long_documents": ("cut", "window"),
    "precision": ("fp32", "bf16", "fp16", "int8", "auto"),
    "backend": ("auto", "native", "torch"),
}
_ARITHMETIC = frozenset(
    {"precision", "backend", "device", "threads", "batch_tokens"}
)  # vectors are the same but for rounding
_OPTIONAL_CHOICES = ("query_augmentation", "skiplist", "precision")


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How to encode. None means: what the checkpoint says."""

    # Vector size: picks a Matryoshka head.
    dim: int | None = None
    # Where no head has that size: cut the vectors to it and normalize again.
    truncate: bool = False
    # New, untrained heads of these sizes on a plain encoder.
    heads: Sequence[int] | None = None
    # Tokens that short queries are padded to; never a limit.
    query_length: int | None = None
    # Tokens a document may have, markers included.
    document_length: int | None = None
    # fixed: pad to query_length; min: the same, not beyond; none.
    query_augmentation: Augmentation | None = None
    # Whether the model sees the mask tokens it is padded with.
    attend_to_mask: bool | None = None
    # Document tokens whose vectors are dropped.
    skiplist: Skiplist | None = None
    # Cut at document_length, or overlapping windows of it.
    long_documents: LongDocuments = "cut"
    # Tokens that neighboring windows share.
    window_overlap: int = 32
    # Weight of neighboring tokens' hash in each vector; 0 takes it out.
    bigrams: float | None = None
    # Keep about 1/pool_factor of a document's vectors.
    pool_factor: float = 1.0
    # Arithmetic. None: int8 for int8 weights on native kernels, else fp32.
    precision: Precision | None = None
    # Native kernels where they have what the model needs, else torch.
    backend: Backend = "auto"
    # None: a GPU where there is one.
    device: str | None = None
    # Native: every processor by default. torch: for the whole process; None leaves them alone.
    threads: int | None = None
    # Tokens a forward pass may hold.
    batch_tokens: int = 4096

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL_CHOICES:
                keep(name, one_of(name, value, allowed))
        for name, counted in (
            ("dim", "dimensions"), ("query_length", "tokens"), ("document_length", "tokens"), ("threads", ""),
            ("batch_tokens", "tokens"),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None or name == "batch_tokens":
                keep(name, whole_number(name, value, of=counted))
        keep("truncate", flag("truncate", self.truncate))
        if self.attend_to_mask is not None:
            keep("attend_to_mask", flag("attend_to_mask", self.attend_to_mask))
        keep("window_overlap", whole_number("window_overlap", self.window_overlap, least=0, of="tokens"))
        if self.bigrams is not None:
            expected = "a weight such as 0.65, or 0 for none"
            keep("bigrams", number("bigrams", self.bigrams, expected, lambda weight: weight >= 0))
        pooled = "1 (no pooling) or more; 2 halves the vectors"
        keep("pool_factor", number("pool_factor", self.pool_factor, pooled, lambda factor: factor >= 1))
        if self.heads is not None:
            keep("heads", _checked_heads(self.heads))
        if self.device is not None:
            keep("device", device_name("device", self.device))
        if self.precision == "fp16" and self.device is not None and self.device.startswith("cpu"):
            raise InputError("precision='fp16' is for GPUs; on a CPU choose fp32, bf16, int8 or auto.")

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain JSON values."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    def of_vectors(self) -> dict[str, Any]:
        """Those of `given` that vectors depend on, arithmetic aside."""
        return {name: value for name, value in self.given().items() if name not in _ARITHMETIC}


def device_name(name: str, device: Any) -> str:
    """The name of a device, such as "cpu" or "cuda:1"; whether it is there is known later."""
    if not isinstance(device, str) or not device.strip():
        raise InputError(f"{name}={shown(device)}: expected the name of a device, such as cpu or cuda:1.")
    return str.__str__(device)


def _checked_heads(heads: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(whole_number("heads", size, of="dimensions") for size in list_of("heads", heads, ordered=True))
    if not sizes:
        raise InputError(f"heads={shown(heads)}: expected vector sizes such as (64, 128).")
    if len(set(sizes)) != len(sizes):
        raise InputError(f"heads={shown(heads)}: each size may be given once.")
    return sizes
