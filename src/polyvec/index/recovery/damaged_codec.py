"""A damaged codec -> the codec as it was, or one that still decodes what was coded with it.

Decoding needs the rotation, the centroids, the steps and the codebook alone (with 8 bits only the rotation). What encoding and
probing need besides is not made up: documents are decoded, and the next codec is trained on them. Changes nothing in the index.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import STEPS, WINDOWS, Codec
from polyvec.index.codec.rotation import ROTATION_ROUNDS, drawn_signs
from polyvec.index.codec.training import TRAINING_SEED, centroid_count
from polyvec.index.format import CODEC
from polyvec.index.recovery.damaged_file import DamagedFile, Layout, Planned, placed

_MOST_COARSE_CENTROIDS = 1 << 11


@dataclass
class SalvagedCodec:
    """What is left of a codec.

    Attributes:
        codec: None where nothing decodes.
        restored: The file to write as it was; None where that is not known.
        doubtful: Whether decoded values may have changed.
        problems: What is wrong with the file, one sentence each.
    """

    codec: Codec | None
    restored: DamagedFile | None
    doubtful: bool
    problems: list[str]


def salvage_codec(path: Path, codec_record: CodecRecord, dim: int, nbits: int) -> SalvagedCodec:
    """What is left of a codec's file.

    Args:
        path: The file, at its place or where an earlier repair put it.
        codec_record: As the catalog has it.
        dim: Of the index.
        nbits: Of the index.
    """
    try:
        file = DamagedFile(
            path,
            codec_record.checksum,
            codec_record.size_bytes,
            lambda: _layouts(path, codec_record, dim, nbits),
            CODEC,
        )
    except IndexCorruptError as error:
        return SalvagedCodec(None, None, False, [str(error)])
    known: dict[str, npt.NDArray[Any]] = {
        "parameters": np.array([dim, nbits], np.uint32),
        "rotation": drawn_signs(dim, TRAINING_SEED),
    }
    for name, array in known.items():
        if name in file.parts and not file.is_right(name):
            file.put(name, array)
    if "steps" in file.parts and not file.is_right("steps") and file.parts["steps"].rows == STEPS:
        file.put("steps", _geometric(file.array("steps")))
    file.prove_page()
    if file.right:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "codec"
            file.write(copy)
            try:
                codec = Codec.load(copy)
            except IndexCorruptError as error:
                return SalvagedCodec(None, None, False, [str(error)])
        return SalvagedCodec(codec, file, False, file.problems)
    decoding, doubtful = _decoding(file, dim, nbits)
    return SalvagedCodec(decoding, None, doubtful, file.problems)


def _decoding(file: DamagedFile, dim: int, nbits: int) -> tuple[Codec | None, bool]:
    """A codec for decoding alone, and whether one of its parts may be wrong."""
    needed = () if nbits == 8 else ("centroids", "steps", "codebook")
    if any(name not in file.parts or file.parts[name].rows < file.parts[name].block.rows for name in needed):
        return None, False
    padded = kernels.padded_dim(dim)
    centroids = np.zeros((1, padded), np.int8)
    steps, codebook = np.ones(STEPS, np.float32), np.zeros(0, np.float32)
    if nbits < 8:
        centroids, steps, codebook = (np.array(file.array(name)) for name in needed)
        shapes = (centroids.shape[1:], steps.shape, codebook.shape)
        if (
            shapes != ((padded,), (STEPS,), (WINDOWS,))
            or not np.isfinite(steps).all()
            or not np.isfinite(codebook).all()
        ):
            return None, False
    whole = np.array([0, len(centroids)], np.int64)
    codec = Codec(
        dim=dim,
        nbits=nbits,
        signs=file.array("rotation") if file.is_right("rotation") else drawn_signs(dim, TRAINING_SEED),
        unit=1.0,
        centroids=centroids,
        coarse_centroids=np.zeros((1, padded), np.int8),
        coarse_offsets=whole,
        cells=np.zeros((1, dim), np.float32),
        cell_offsets=whole,
        cell_members=np.arange(len(centroids), dtype=np.int32),
        steps=steps,
        codebook=codebook,
    )
    return codec, any(not file.is_right(name) for name in ("rotation", *needed))


def _geometric(steps: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Steps as training makes them, from those that still are: each the same number of times the one before."""
    with np.errstate(all="ignore"):
        logs = np.log(steps.astype(np.float64))
        ratio = np.nanmedian(np.diff(logs))
        start = np.nanmedian(logs - ratio * np.arange(len(steps)))
        first = steps[0] if abs(logs[0] - start) < 1e-3 else np.exp(start)
        last = (
            steps[-1]
            if abs(logs[-1] - start - ratio * (len(steps) - 1)) < 1e-3
            else first * np.exp(ratio * (STEPS - 1))
        )
        made = np.geomspace(first, last, STEPS) if first > 0 and last > 0 else np.ones(STEPS)
    kept = np.where(np.abs(steps - made) < 1e-3 * made, steps, made)
    return np.asarray(kept, np.float32)


def _layouts(path: Path, codec_record: CodecRecord, dim: int, nbits: int) -> list[Layout]:
    """The ways in which a codec may lie in its file: its numbers of centroids and cells are found by where they fit."""
    data = np.fromfile(path, np.uint8)
    padded = kernels.padded_dim(dim)
    likely = [centroid_count(round(codec_record.tokens * factor)) for factor in (1.0, 2.5**0.5)]
    found: list[Layout] = []
    for centroids in dict.fromkeys(likely):
        for coarse_centroids in range(1, min(centroids, _MOST_COARSE_CENTROIDS) + 1):
            before = [
                Planned("parameters", "<u4", 2),
                Planned("rotation", "|i1", ROTATION_ROUNDS, dim),
                Planned("unit", "<f8", 1),
                Planned("centroids", "|i1", centroids, padded),
                Planned("coarse_centroids", "|i1", coarse_centroids, padded),
                Planned("coarse_offsets", "<i8", coarse_centroids + 1),
            ]
            blocks, end = placed(before)
            if end > len(data):
                break
            offsets = data[blocks[-1].offset : end].view("<i8")
            if offsets[0] != 0 or offsets[-1] != centroids:
                continue
            quantizer = [] if nbits == 8 else [Planned("steps", "<f4", STEPS), Planned("codebook", "<f4", WINDOWS)]
            for cells in range(1, centroids + 1):
                whole = [
                    *before,
                    Planned("cells", "<f4", cells, dim),
                    Planned("cell_offsets", "<i8", cells + 1),
                    Planned("cell_members", "<i4", centroids),
                    *quantizer,
                ]
                size = placed(whole)[1]
                if size == codec_record.size_bytes:
                    found.append(whole)
                if size > codec_record.size_bytes:
                    break
    return found
