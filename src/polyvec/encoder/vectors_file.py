"""A stream of encoded texts -> one .npz or .safetensors file, in bounded memory.

Vectors go to a scratch file as they come; the result is put together at the end and appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from polyvec.atomic import aside, check_destination
from polyvec.encoder.encoded import Encoded
from polyvec.errors import InputError

_COPY_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Written:
    """How many texts and vectors a file holds."""

    texts: int
    vectors: int


def check_target(path: Path) -> None:
    """Raise InputError for a name of another kind, StorageError where the file cannot be made."""
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError(f"{path}: expected a name ending in .npz or .safetensors.")
    check_destination(path, new=True)


def write_vectors(path: Path, stream: Iterable[Encoded], ids: list[str], *, dim: int, model: str) -> Written:
    """Write `vectors` (T, dim) float32, `doclens` (n,) int64, `token_ids` (T,) int32 and the ids of the texts.

    ids: filled by the time the stream ends. In .safetensors the ids and the model's name stand in the metadata, as
    JSON.
    """
    check_target(path)
    doclens: list[int] = []
    token_ids: list[npt.NDArray[np.int32]] = []
    with tempfile.TemporaryFile(dir=path.parent) as scratch:
        for encoded in stream:
            scratch.write(encoded.vectors.data)
            doclens.append(len(encoded.vectors))
            token_ids.append(encoded.token_ids)
        shape = (sum(doclens), dim)
        scratch.seek(0)
        small = {
            "doclens": np.array(doclens, dtype=np.int64),
            "token_ids": np.concatenate(token_ids) if token_ids else np.zeros(0, dtype=np.int32),
        }
        write = _write_npz if path.suffix == ".npz" else _write_safetensors
        with aside(path) as staging:
            write(staging, scratch, shape, small, ids=ids, model=model)
    return Written(len(doclens), shape[0])


def _write_npz(
    path: Path, vectors: IO[bytes], shape: tuple[int, int], small: dict[str, Any], *, ids: list[str], model: str
) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(vectors, member, _COPY_BYTES)
        for name, array in {**small, "ids": np.array(ids, dtype=np.str_), "model": np.array(model)}.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_safetensors(
    path: Path, vectors: IO[bytes], shape: tuple[int, int], small: dict[str, Any], *, ids: list[str], model: str
) -> None:
    size = shape[0] * shape[1] * 4
    # Values of 8 bytes lie first, so that every array starts at a multiple of its own size.
    layout: dict[str, Any] = {"__metadata__": {"ids": json.dumps(ids, ensure_ascii=False), "model": model}}
    at = 0
    for name, kind, dims, length in (
        ("doclens", "I64", [len(small["doclens"])], small["doclens"].nbytes),
        ("vectors", "F32", list(shape), size),
        ("token_ids", "I32", [len(small["token_ids"])], small["token_ids"].nbytes),
    ):
        layout[name] = {"dtype": kind, "shape": dims, "data_offsets": [at, at + length]}
        at += length
    header = json.dumps(layout).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(small["doclens"].tobytes())
        shutil.copyfileobj(vectors, file, _COPY_BYTES)
        file.write(small["token_ids"].tobytes())
