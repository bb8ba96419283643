"""Token vectors <-> codes: a centroid number, a scale and a few bits a dimension.

Vectors are rotated, centroids come from k-means inside cells, and what is left is quantized by one trellis of 16 values with a
scale a token. docs/engine.md says why, docs/format.md how a codec lies on disk. Knows nothing about documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index import kernels
from polyvec.index.codec.kmeans import nearest_centroids
from polyvec.index.codec.rotation import ROTATION_ROUNDS, Rotation
from polyvec.index.format import CODEC, BlockFile, BlockWriter

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]

CODED_NBITS = (1, 2, 4, 8)
STEPS, WINDOWS = 256, 16
_BLOCKS = (
    "parameters", "rotation", "unit", "centroids", "coarse_centroids", "coarse_offsets", "cells", "cell_offsets",
    "cell_members", "steps", "codebook",
)  # fmt: skip
_LARGEST = 1e9  # no number in a codec comes near


@dataclass(frozen=True)
class Codes:
    """Tokens in codes.

    Attributes:
        centroids: (n,) uint32 centroid numbers.
        scales: (n,) uint8 rows of the codec's steps.
        packed: (n, p * nbits / 8) uint8 residual codes, as polyvec.index.kernels packs them.
    """

    centroids: npt.NDArray[np.uint32]
    scales: Bytes
    packed: Bytes


@dataclass(frozen=True)
class CodedQuery:
    """A query as the kernels take it.

    Attributes:
        rows: (q, p) int8.
        scales: (q,) float32, what a unit of each row is worth.
    """

    rows: Int8
    scales: Float


@dataclass(frozen=True, eq=False, kw_only=True)
class Codec:
    """A trained codec; immutable, safe to share between threads.

    Attributes:
        dim: Of the vectors; p below is dim rounded up to a multiple of 32.
        nbits: Bits a dimension: 1, 2, 4 or 8.
        signs: (3, dim) int8, which rotation vectors go through.
        unit: The value of one int8 step.
        centroids: (K, p) int8, rotated, those of a coarse centroid together.
        coarse_centroids: (P, p) int8.
        coarse_offsets: (P + 1,) int64: coarse centroid i has the centroids coarse_offsets[i] to coarse_offsets[i + 1].
        cells: (C, dim) float32 rotated centers. A vector is compared with the centroids of its nearest cell.
        cell_offsets: (C + 1,) int64, where the centroids of each cell lie in `cell_members`.
        cell_members: (K,) int32 centroid numbers, cell by cell.
        steps: (256,) float32: the scales that a token can have, in units. All 1 with 8 bits, and not used.
        codebook: (16,) float32: the values of windows at scale 1; empty with 8 bits.
    """

    dim: int
    nbits: int
    signs: Int8
    unit: float
    centroids: Int8
    coarse_centroids: Int8
    coarse_offsets: Int64
    cells: Float
    cell_offsets: Int64
    cell_members: Int32
    steps: Float
    codebook: Float

    @cached_property
    def rotation(self) -> Rotation:
        """The rotation that vectors go through."""
        return Rotation(self.signs)

    @cached_property
    def levels(self) -> Int8:
        """(256, 16) int8: what each window adds to a centroid, at each scale."""
        table = np.zeros((STEPS, 16), np.int8)
        if self.nbits < 8:
            exact = self.steps[:, None] * self.codebook[None, :]
            table[:] = np.clip(np.rint(exact), -127, 127).astype(np.int8)
        return table

    @cached_property
    def by_cell(self) -> Float:
        """(K, dim) float32 centroids in the order of `cell_members`."""
        values: Float = self.centroids[self.cell_members, : self.dim].astype(np.float32) * np.float32(self.unit)
        return values

    @cached_property
    def searched(self) -> kernels.NativeCodec:
        """What `kernels.find_candidates` and `kernels.full_scores` take."""
        return kernels.native_codec(**self.for_search())

    def for_search(self) -> dict[str, Any]:
        """Arguments of `kernels.native_codec`. Probing compares with centroids and coarse centroids as unit vectors.

        A wide cluster has a short centroid, whose dot products would be lower than those of its documents.
        """
        step = np.float32(1 / 127)
        return {
            "centroids": self.centroids, "levels": self.levels, "directions": _unit_rows(self.centroids, step),
            "coarse_centroids": _unit_rows(self.coarse_centroids, step), "coarse_offsets": self.coarse_offsets, "step": float(step),
            "dim": self.dim, "nbits": self.nbits,
        }  # fmt: skip

    @property
    def code_dtype(self) -> npt.DTypeLike:
        """What centroid numbers are stored as."""
        return np.uint16 if len(self.centroids) <= 1 << 16 else np.uint32

    @property
    def has_scales(self) -> bool:
        """Whether each token has a scale; with 8 bits the residual codes are the whole vector."""
        return self.nbits < 8

    @property
    def packed_width(self) -> int:
        """Bytes of a token's residual."""
        return kernels.padded_dim(self.dim) * self.nbits // 8

    def encode(self, vectors: Float, *, threads: int) -> Codes:
        """(n, dim) float32 unit rows -> codes."""
        turned = self.rotation.apply(vectors, threads=threads)
        whole, zeros = np.array([0, len(self.cells)], np.int64), np.zeros(len(turned), np.int32)
        cells = nearest_centroids(turned, zeros, self.cells, whole, threads).astype(np.int32)
        nearest = nearest_centroids(turned, cells, self.by_cell, self.cell_offsets, threads)
        centroids = self.cell_members[nearest].astype(np.uint32)
        scales, packed = self._residuals(turned, centroids, threads)
        return Codes(centroids, scales, packed)

    def _residuals(self, turned: Float, codes: npt.NDArray[np.uint32], threads: int) -> tuple[Bytes, Bytes]:
        padded = np.zeros((len(turned), self.centroids.shape[1]), np.float32)
        if self.nbits == 8:
            largest = np.abs(turned).max(axis=1, keepdims=True)
            padded[:, : self.dim] = turned * (np.float32(127) / np.maximum(largest, np.float32(1e-30)))
            return np.zeros(len(turned), np.uint8), np.rint(padded).astype(np.int8).view(np.uint8)
        padded[:, : self.dim] = turned / np.float32(self.unit) - self.centroids[codes, : self.dim]
        return kernels.quantize(padded, self.steps, self.codebook, self.nbits, threads=threads)

    def decode(self, codes: Codes) -> Float:
        """(n, dim) float32 unit rows: the vectors that search compares with."""
        v = kernels.expand(self.centroids, self.levels, codes.centroids, codes.scales, codes.packed, self.nbits)
        wide = v.astype(np.float32)
        lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
        unit = (wide / np.maximum(lengths, np.float32(1e-30)))[:, : self.dim]
        return self.rotation.undo(np.ascontiguousarray(unit))

    def query(self, vectors: Float) -> CodedQuery:
        """(q, dim) float32 -> a query for the kernels."""
        turned = self.rotation.apply(vectors)
        largest = np.abs(turned).max(axis=1)
        scales = (np.maximum(largest, np.float32(1e-30)) / np.float32(127)).astype(np.float32)
        rows = np.zeros((len(vectors), self.centroids.shape[1]), np.int8)
        rows[:, : self.dim] = np.rint(turned / scales[:, None]).astype(np.int8)
        return CodedQuery(rows, scales)

    def save(self, path: Path) -> tuple[int, str]:
        """Write the codec's file, durable on return. Returns its size in bytes and its checksum, in hex."""
        writer = BlockWriter(path, CODEC)
        try:
            writer.write("parameters", np.array([self.dim, self.nbits], np.uint32))
            writer.write("rotation", self.signs)
            writer.write("unit", np.array([self.unit]))
            for name in ("centroids", "coarse_centroids", "coarse_offsets", "cells", "cell_offsets", "cell_members"):
                writer.write(name, getattr(self, name))
            if self.nbits < 8:
                writer.write("steps", self.steps)
                writer.write("codebook", self.codebook)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    @classmethod
    def load(cls, path: Path) -> Codec:
        """Open a codec's file.

        Raises:
            IndexCorruptError: It is damaged, or its parts do not fit.
            StorageError: It needs another version of polyvec.
        """
        file = BlockFile(path, CODEC, _BLOCKS)
        if problems := file.verify():  # small, and every later step trusts it
            raise IndexCorruptError(problems[0])

        def array(name: str, dtype: npt.DTypeLike, columns: int = 0) -> Any:
            return file.array(name, dtype, columns).copy()

        parameters, unit = array("parameters", np.uint32), array("unit", np.float64)
        if len(parameters) != 2 or len(unit) != 1:
            raise IndexCorruptError(f"{path} is damaged: expected two parameters and one unit.")
        dim, nbits = (int(value) for value in parameters)
        if nbits not in CODED_NBITS or not 1 <= dim <= kernels.MAX_DIM:
            raise IndexCorruptError(
                f"{path} is damaged: dim={dim}, nbits={nbits}, expected 1 to {kernels.MAX_DIM:,} dimensions in 1, 2, 4 or 8 bits."
            )
        padded = kernels.padded_dim(dim)
        codec = cls(
            dim=dim,
            nbits=nbits,
            signs=array("rotation", np.int8, dim),
            unit=float(unit[0]),
            centroids=array("centroids", np.int8, padded),
            coarse_centroids=array("coarse_centroids", np.int8, padded),
            coarse_offsets=array("coarse_offsets", np.int64),
            cells=array("cells", np.float32, dim),
            cell_offsets=array("cell_offsets", np.int64),
            cell_members=array("cell_members", np.int32),
            steps=array("steps", np.float32) if nbits < 8 else np.ones(STEPS, np.float32),
            codebook=array("codebook", np.float32) if nbits < 8 else np.zeros(0, np.float32),
        )
        if not codec._fits():
            raise IndexCorruptError(f"{path} is damaged: its parts do not fit together.")
        return codec

    def _fits(self) -> bool:
        """Whether every number in the codec names something that is there."""
        k = len(self.centroids)
        return bool(
            k > 0
            and self.signs.shape == (ROTATION_ROUNDS, self.dim)
            and (np.abs(self.signs) == 1).all()
            and len(self.coarse_centroids) > 0
            and _covers(self.coarse_offsets, len(self.coarse_centroids), k)
            and len(self.cells) > 0
            and _covers(self.cell_offsets, len(self.cells), k)
            and np.array_equal(np.sort(self.cell_members), np.arange(k))
            and len(self.steps) == STEPS
            and len(self.codebook) == (0 if self.nbits == 8 else WINDOWS)
            and all(_within_limits(values) for values in (self.cells, self.steps, self.codebook))
            and 0 < self.unit < _LARGEST
        )


def _unit_rows(rows: Int8, step: np.float32) -> Int8:
    """Rows of length 1 in steps; a row of zeros stays one."""
    wide = rows.astype(np.float32)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    unit: Int8 = np.rint(wide / np.maximum(lengths * step, np.float32(1e-30))).astype(np.int8)
    return unit


def _within_limits(values: Float) -> bool:
    """Whether these are numbers whose products stay numbers."""
    return bool((np.abs(values) < _LARGEST).all())


def _covers(offsets: Int64, parts: int, total: int) -> bool:
    """Whether offsets cut `total` things into `parts` parts, none of them empty."""
    return len(offsets) == parts + 1 and offsets[0] == 0 and offsets[-1] == total and bool((np.diff(offsets) > 0).all())
