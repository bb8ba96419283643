"""safetensors files -> arrays, by memory map, every number in the header checked before it is used.

The format: eight bytes that say how long the header is, the header (JSON: a name to dtype, shape and place), the values. Reads the
types that model weights have; knows nothing about models.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import ModelError

Array = npt.NDArray[Any]

_MOST_HEADER = 100_000_000  # bytes, as in the safetensors library
_METADATA = "__metadata__"
_LFS = b"version https://git-lfs"
_TYPES: dict[str, type[np.generic]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # which NumPy does not have: the bits
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array as it lies in a file.

    Attributes:
        values: Mapped, and not yet read.
        dtype: The file's name for its type; BF16 values are uint16 bits.
        mapping: Of the file.
    """

    values: Array
    dtype: str
    mapping: mmap.mmap

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.values.shape

    @property
    def floating(self) -> bool:
        """Whether its values are floating-point numbers."""
        return self.dtype in _FLOATS

    def float32(self) -> npt.NDArray[np.float32]:
        """Its values in single precision, C-contiguous; a view of the file where they are that already."""
        if self.dtype == "BF16":
            return (self.values.astype(np.uint32) << 16).view(np.float32)
        return np.ascontiguousarray(self.values, dtype=np.float32)

    def release(self) -> None:
        """Let go of the memory that reading the file took; values that are asked for again are read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, mapped and not yet read.

    Raises:
        ModelError: for a file that is cut off, or whose header is broken or contradicts the file.
    """
    try:
        size = path.stat().st_size
        if size < 8:
            raise _bad(path, f"it has {size} bytes, too few for a header")
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"Cannot read {path} ({error.strerror}).") from error
    except ValueError as error:  # it became shorter
        raise _bad(path, "it changed while it was read") from error
    data = np.frombuffer(mapping, dtype=np.uint8)
    if bytes(data[: len(_LFS)]) == _LFS:
        raise ModelError(f"{path} is a pointer of Git LFS, not the weights: run git lfs pull, or download the file.")
    length = int(data[:8].view("<u8")[0])
    if length > min(size - 8, _MOST_HEADER):
        raise _bad(path, f"its header claims {length:,} bytes of a file of {size:,}; it may be cut off")
    header = _header(path, bytes(data[8 : 8 + length]))
    begin = 8 + length
    places = {name: _place(path, name, entry, size - begin) for name, entry in header.items()}
    _check_layout(path, places.values(), size - begin)
    return {name: Tensor(_values(data, begin, *place), place[0], mapping) for name, place in places.items()}


def _bad(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} is not a sound safetensors file: {what}. Download it again.")


def _header(path: Path, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice")
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"its header is not valid JSON ({error})") from error
    if not isinstance(header, dict):
        raise _bad(path, "its header is not a JSON object")
    header.pop(_METADATA, None)
    return header


_Place = tuple[str, tuple[int, ...], int, int]  # dtype, shape, first byte, end


def _place(path: Path, name: str, entry: Any, size: int) -> _Place:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _bad(path, f"tensor {name!r} does not say dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise _bad(path, f"tensor {name!r} has type {dtype!r}; expected one of {', '.join(_TYPES)}")
    if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2:
        raise _bad(path, f"tensor {name!r} has shape {shape!r} and offsets {offsets!r}; expected whole numbers")
    begin, end = offsets
    bytes_needed = math.prod(shape) * np.dtype(_TYPES[dtype]).itemsize
    if not begin <= end <= size or end - begin != bytes_needed or len(shape) > 8:
        raise _bad(path, f"tensor {name!r} of {shape} {dtype} lies at bytes {begin} to {end} of {size}")
    return dtype, tuple(shape), begin, end


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_layout(path: Path, places: Iterable[_Place], size: int) -> None:
    """Tensors follow one another without gaps to the end of the file, as the format demands."""
    at = 0
    for _, _, begin, end in sorted(places, key=lambda place: place[2:]):
        if begin != at:
            raise _bad(path, f"a tensor begins at byte {begin}, expected {at}")
        at = end
    if at != size:
        raise _bad(path, f"its tensors end at byte {at} of {size}")


def _values(data: npt.NDArray[np.uint8], begin: int, dtype: str, shape: tuple[int, ...], first: int, end: int) -> Array:
    kind = np.dtype(_TYPES[dtype]).newbyteorder("<")
    raw = data[begin + first : begin + end]
    if (begin + first) % kind.itemsize:
        raw = raw.copy()  # values that do not lie on their own boundary cannot be handed to the kernels
    values: Array = raw.view(kind).reshape(shape)
    return values
