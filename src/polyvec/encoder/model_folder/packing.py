"""A sentence-transformers folder -> the same at a quarter of its size: matrices in int8, the rest in fp16. No torch.

What ships inside the package. A row of a matrix is int8 times a scale of its own; files stay below 20 MB. Knows nothing
about heads or settings: their files are copied as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from polyvec.atomic import staged
from polyvec.encoder.model_folder.tensors import Array, Tensor, read_tensors
from polyvec.encoder.model_folder.weight_names import plain_name
from polyvec.errors import InputError, ModelError

SCALE = ".scale"  # at the end of the name of a slice's scales
_PART = "packed-{:05d}.safetensors"
_PART_BYTES = 18_000_000
_OTHER_FORMATS = ("*.bin", "onnx", "openvino", ".*")  # of the same weights, and what is not the model's
_LEAST_ROWS = 64  # smaller matrices are not worth scales
_SMALLEST_SCALE = 1e-12


def is_packed(folder: Path) -> bool:
    """Whether a model folder holds packed weights."""
    return (folder / _PART.format(1)).is_file()


def packed_parts(folder: Path) -> list[Path]:
    """The files of packed weights, in order."""
    return sorted(folder.glob(_PART.format(0).replace("00000", "*")))


def save_packed_copy(source: Path, folder: Path) -> None:
    """Write a packed copy of a model folder, whole or not at all.

    Args:
        source: With modules.json, and weights of the backbone in safetensors beside it.
        folder: To make.

    Raises:
        InputError: The source is packed already.
        ModelError: Its weights are not there, or broken.
        StorageError: Something is in the way, or the folder cannot be written.
    """
    if is_packed(source):
        raise InputError(f"{source} is packed already.")
    with staged(folder) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_OTHER_FORMATS))
        pack(staging)


def pack(folder: Path) -> None:
    """Replace the weights in a folder's own safetensors files by packed ones; those in folders below stay.

    Raises:
        ModelError: There are none, or a file is broken.
    """
    from safetensors.numpy import save_file

    whole = sorted(folder.glob("*.safetensors"))
    if not whole:
        raise ModelError(f"{folder} holds no weights: no *.safetensors. Is the download complete?")
    part: dict[str, Array] = {}
    number, size = 1, 0
    for name, array in _pieces(whole):
        if part and size + array.nbytes > _PART_BYTES:
            save_file(part, folder / _PART.format(number))
            part, number, size = {}, number + 1, 0
        part[name] = array
        size += array.nbytes
    save_file(part, folder / _PART.format(number))
    for path in [*whole, *folder.glob("*.safetensors.index.json")]:
        path.unlink()
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


def _pieces(paths: list[Path]) -> Iterator[tuple[str, Array]]:
    """Name and array of everything that is stored; matrices in slices of rows, each with its scales."""
    for path in paths:
        for name, tensor in read_tensors(path).items():
            yield from _of_one(plain_name(name), tensor)
            tensor.release()


def _of_one(name: str, tensor: Tensor) -> Iterator[tuple[str, Array]]:
    if len(tensor.shape) != 2 or tensor.shape[0] < _LEAST_ROWS:
        yield name, tensor.float32().astype(np.float16) if tensor.floating else tensor.values
        return
    rows = tensor.float32()
    scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / np.float32(127), np.float32(_SMALLEST_SCALE))
    codes = np.rint(rows / scale).astype(np.int8)
    slice_rows = max(1, _PART_BYTES // (tensor.shape[1] + 4))
    for start in range(0, len(codes), slice_rows):
        yield f"{name}@{start}", np.ascontiguousarray(codes[start : start + slice_rows])
        yield f"{name}@{start}{SCALE}", np.ascontiguousarray(scale[start : start + slice_rows])
