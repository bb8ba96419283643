"""Weights by their published names -> a backbone that the kernels run.

Reads safetensors files as they lie, packed int8 ones among them; each kind of backbone has a table of names. Every weight has its
place: one that is missing, left over or of another shape is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec import _native
from polyvec.encoder.model_folder.tensors import Array, Tensor, read_tensors
from polyvec.encoder.model_folder.weight_names import check_names, parts_named, plain_name
from polyvec.encoder.native.architecture import Architecture, not_native
from polyvec.errors import ModelError

Floats = npt.NDArray[np.float32]

_SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight in the parts that the files have it in: an array each, and for int8 codes one scale a row."""

    parts: tuple[tuple[Tensor, Floats | None], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return (
            (sum(part.shape[0] for part, _ in self.parts), *self.parts[0][0].shape[1:])
            if self.parts[0][0].shape
            else ()
        )

    @property
    def packed(self) -> bool:
        """Whether it is int8 codes and scales."""
        return self.parts[0][1] is not None

    def float32(self) -> Floats:
        """The whole in single precision."""
        rows = [part.float32() if scales is None else part.values * scales[:, None] for part, scales in self.parts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def codes(self) -> tuple[npt.NDArray[np.int8], Floats]:
        """Codes and scales of a packed one."""
        scales = [scales for _, scales in self.parts if scales is not None]
        return _joined([part.values for part, _ in self.parts]), _joined(scales)

    def release(self) -> None:
        """Let go of the memory that reading it took."""
        for part, _ in self.parts:
            part.release()

    def table(self) -> list[tuple[Array, Floats | None]]:
        """Its parts as the kernels take an embedding table: int8 codes, or float16, bfloat16 bits or float32 as they are stored."""
        as_stored = ("F32", "F16", "BF16", "I8")
        return [
            (np.ascontiguousarray(part.values) if part.dtype in as_stored else part.float32(), scales)
            for part, scales in self.parts
        ]


def _joined(arrays: list[Any]) -> Any:
    return np.ascontiguousarray(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays)


def read_weights(folder: Path, name: str) -> dict[str, Weight]:
    """Every weight of a folder's own safetensors files.

    Raises:
        NotNativeError: where there are only pickled weights.
        ModelError: where there are none, or a file is broken.
    """
    tensors: dict[str, Tensor] = {}
    for part in sorted(parts_named(folder)):
        if not (folder / part).is_file():
            raise ModelError(f"{folder} is not whole: {part} is missing. Is the download complete?")
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= read_tensors(path)
    if not tensors:
        if any(folder.glob("*.bin")):
            raise not_native(name, "a checkpoint of pickled weights (*.bin; polyvec convert makes safetensors of them)")
        raise ModelError(f"{folder} holds no weights: no *.safetensors. Is the download complete?")
    return dict(_joined_slices(tensors, folder))


def _joined_slices(tensors: dict[str, Tensor], folder: Path) -> Iterator[tuple[str, Weight]]:
    slices: dict[str, dict[int, tuple[Tensor, Floats | None]]] = {}
    for name, tensor in tensors.items():
        whole, at, start = name.partition("@")
        if not at:
            yield name, Weight(((tensor, None),))
        elif not name.endswith(_SCALE):
            if not start.isdecimal():
                raise ModelError(f"{folder}: weight {name!r} is no slice of rows. Install polyvec again.")
            slices.setdefault(whole, {})[int(start)] = (tensor, _scales(tensors, name, folder))
    for name, parts in slices.items():
        at_row = 0
        for first, (tensor, _) in sorted(parts.items()):
            if first != at_row or tensor.shape[1:] != parts[0][0].shape[1:]:
                raise ModelError(
                    f"{folder} is not whole: rows {at_row} on of {name} are missing. Install polyvec again."
                )
            at_row += tensor.shape[0]
        yield name, Weight(tuple(part for _, part in sorted(parts.items())))


def _scales(tensors: dict[str, Tensor], name: str, folder: Path) -> Floats:
    codes, scales = tensors[name], tensors.get(name + _SCALE)
    if scales is None:
        raise ModelError(f"{folder} is not whole: the scales of {name} are missing. Install polyvec again.")
    found = scales.float32().reshape(-1)
    if codes.dtype != "I8" or len(codes.shape) != 2 or len(found) != codes.shape[0] or not np.isfinite(found).all():
        raise ModelError(f"{folder}: {name} is not int8 rows with a finite scale each. Install polyvec again.")
    return found


# -- names -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Names:
    words: str
    norm: str
    types: str | None
    positions: str | None
    layer: str
    qkv: tuple[str, ...]  # one fused, or queries, keys and values
    out: str
    up: str
    down: str
    norms: tuple[str, str]
    final_norm: str | None = None


_NAMES = {
    "bert": _Names(
        words="embeddings.word_embeddings",
        norm="embeddings.LayerNorm",
        types="embeddings.token_type_embeddings",
        positions="embeddings.position_embeddings",
        layer="encoder.layer.{}.",
        qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
        out="attention.output.dense",
        up="intermediate.dense",
        down="output.dense",
        norms=("attention.output.LayerNorm", "output.LayerNorm"),
    ),
    "rotary": _Names(
        words="embeddings.word_embeddings",
        norm="embeddings.LayerNorm",
        types="embeddings.token_type_embeddings",
        positions=None,
        layer="layers.{}.",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.o_proj",
        up="mlp.fc1",
        down="mlp.fc2",
        norms=("post_attention_layernorm", "post_mlp_layernorm"),
    ),
    "jina": _Names(
        words="embeddings.word_embeddings",
        norm="emb_ln",
        types="embeddings.token_type_embeddings",
        positions=None,
        layer="encoder.layers.{}.",
        qkv=("mixer.Wqkv",),
        out="mixer.out_proj",
        up="mlp.fc1",
        down="mlp.fc2",
        norms=("norm1", "norm2"),
    ),
    "modernbert": _Names(
        words="embeddings.tok_embeddings",
        norm="embeddings.norm",
        types=None,
        positions=None,
        layer="layers.{}.",
        qkv=("attn.Wqkv",),
        out="attn.Wo",
        up="mlp.Wi",
        down="mlp.Wo",
        norms=("attn_norm", "mlp_norm"),
        final_norm="final_norm",
    ),
}


class _Taken:
    """The weights of a checkpoint as they are asked for, each with the shape that it has to have."""

    def __init__(self, weights: dict[str, Weight], name: str) -> None:
        self.weights = {plain_name(key): weight for key, weight in weights.items()}
        self.name = name
        self.missing: list[str] = []
        self.left = set(self.weights)

    def take(self, key: str, *shape: int) -> Weight | None:
        """The weight of that name; noted as missing where there is none."""
        weight = self.weights.get(key)
        if weight is None:
            self.missing.append(key)
            return None
        self.left.discard(key)
        if weight.shape != shape:
            raise ModelError(
                f"The weights of {self.name} do not fit its configuration: {key} is {weight.shape} instead of {shape}."
            )
        if not weight.packed and not weight.parts[0][0].floating:
            raise ModelError(f"The weights of {self.name} cannot be used: {key} is {weight.parts[0][0].dtype}.")
        return weight

    def row(self, key: str, width: int) -> Floats:
        """A vector of weights; zeros where it is missing, which is an error in the end."""
        weight = self.take(key, width)
        values = np.zeros(width, dtype=np.float32) if weight is None else weight.float32()
        if not np.isfinite(values).all():
            raise ModelError(f"The weights of {self.name} are not finite: {key}. Download them again.")
        return values


# -- building ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear layer behind the backbone, in fp32. identity: its input is added to its result · residual: through these weights."""

    weight: Floats
    bias: Floats | None = None
    residual: Floats | None = None
    identity: bool = False


def build_backbone(
    architecture: Architecture,
    weights: dict[str, Weight],
    projections: Sequence[Projection],
    name: str,
    *,
    int8: bool,
    kernel: str = "",
) -> Any:
    """Pack a checkpoint's weights for the kernels of this processor.

    Args:
        int8: whether linear layers of the backbone compute in int8; embeddings stay as they are stored.
        kernel: a name from `_native.encoder_kernels()`; empty for the best one.

    Raises:
        ModelError: for weights that are missing, left over, misshapen or not finite.
    """
    taken = _Taken(weights, name)
    fused = architecture.family == "rotary" and any(
        ".mixer.Wqkv." in key for key in taken.weights
    )  # transformers writes both
    names = _NAMES["jina" if fused else architecture.family]
    hidden, feed = architecture.hidden, architecture.feed
    biased = architecture.family != "modernbert"

    def linear(keys: Sequence[str], outputs: int, inputs: int) -> Any:
        found = [taken.take(f"{key}.weight", outputs, inputs) for key in keys]
        bias = np.concatenate([taken.row(f"{key}.bias", outputs) for key in keys]) if biased else None
        return None if any(weight is None for weight in found) else _linear(found, bias, keys[0], name, int8, kernel)

    def norm(key: str) -> tuple[Floats, Floats | None]:
        return taken.row(f"{key}.weight", hidden), taken.row(f"{key}.bias", hidden) if biased else None

    words = taken.take(f"{names.words}.weight", architecture.vocabulary, hidden)
    types = taken.weights.get(f"{names.types}.weight") if names.types else None
    if names.types:
        types = taken.take(f"{names.types}.weight", *(types.shape[:1] if types is not None else (1,)), hidden)
    rows = architecture.first_position + architecture.max_length
    positions = taken.take(f"{names.positions}.weight", rows, hidden) if names.positions else None
    embedding_norm = norm(names.norm)
    layers = []
    for number in range(architecture.layers):
        at = names.layer.format(number)
        qkv = linear([at + key for key in names.qkv], 3 * hidden // len(names.qkv), hidden)
        out, up = (
            linear([at + names.out], hidden, hidden),
            linear([at + names.up], feed * (1 + architecture.gated), hidden),
        )
        down = linear([at + names.down], hidden, feed)
        first_norm = None if architecture.norm_first and number == 0 else norm(at + names.norms[0])
        place = (architecture.windows[number], architecture.tables[number])
        layers.append((qkv, out, up, down, first_norm, norm(at + names.norms[1]), *place))
    final_norm = norm(names.final_norm) if names.final_norm else None
    check_names(name, taken.missing, taken.left)
    assert words is not None
    type_row = None if types is None else np.ascontiguousarray(types.float32()[0])
    return _native.Backbone(
        kernel=kernel,
        hidden=hidden,
        heads=architecture.heads,
        feed=feed,
        eps=architecture.eps,
        centered=True,
        norm_first=architecture.norm_first,
        gated=architecture.gated,
        words=words.table(),
        positions=[] if positions is None else positions.table(),
        type=type_row,
        embedding_norm=embedding_norm,
        final_norm=final_norm,
        layers=layers,
        projections=[_projection(projection, name, kernel) for projection in projections],
    )


def _linear(weights: Sequence[Any], bias: Floats | None, key: str, name: str, int8: bool, kernel: str) -> Any:
    try:
        if all(weight.packed for weight in weights):
            codes, scales = zip(*(weight.codes() for weight in weights), strict=True)
            return _native.LinearWeights(_joined(list(codes)), _joined(list(scales)), bias, int8, kernel)
        return _native.LinearWeights(_joined([weight.float32() for weight in weights]), bias, int8, kernel)
    except ValueError as error:
        raise ModelError(f"The weights of {name} cannot be used: {error} ({key}). Download them again.") from error
    finally:
        for weight in weights:
            weight.release()  # the kernels have a copy in their own order


def _projection(projection: Projection, name: str, kernel: str) -> tuple[Any, Any, bool]:
    def packed(weight: Floats, bias: Floats | None) -> Any:
        try:
            return _native.LinearWeights(np.ascontiguousarray(weight), bias, False, kernel)
        except ValueError as error:
            raise ModelError(f"The projection of {name} cannot be used: {error}. Download it again.") from error

    residual = None if projection.residual is None else packed(projection.residual, None)
    return packed(projection.weight, projection.bias), residual, projection.identity
