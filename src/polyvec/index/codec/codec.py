"""Token vectors <-> codes: a centroid number, a scale and a few bits a dimension.

Vectors are rotated, centroids come from k-means inside cells, and what is left is quantized by one trellis of 16 points with a
scale a token. A codec may also have centroids for single vocabulary ids; training makes none, as they were measured to be worse.
docs/engine.md says why, docs/format.md how a codec lies on disk.
Knows nothing about documents.
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
from polyvec.index.codec.rotation import Rotation
from polyvec.index.format import BlockFile, BlockWriter

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]

CODED_NBITS = (1, 2, 4, 8)
STEPS, WINDOWS = 256, 16
_VERSION = 2  # points of windows; version 1 had points of codes
_LARGEST = 1e9  # no number in a codec comes near


@dataclass(frozen=True)
class Codes:
    """Tokens in codes. centroids: (n,) uint32 · scales: (n,) uint8 · packed: (n, p * nbits / 8) uint8."""

    centroids: npt.NDArray[np.uint32]
    scales: Bytes
    packed: Bytes


@dataclass(frozen=True)
class CodedQuery:
    """A query as the kernels take it. rows: (q, p) int8 · scales: (q,) float32, what a unit of a row is worth."""

    rows: Int8
    scales: Float


@dataclass(frozen=True, eq=False)
class Codec:
    """A trained codec; immutable, safe to share between threads.

    dim, nbits, seed: as trained · unit: value of one int8 step · centroids: (K, p) int8, rotated · parents: (P, p) int8 ·
    coarse_offsets: (P + 1,), the centroids of each parent · own: ascending vocabulary ids with centroids of their own ·
    members: centroid numbers group by group, first the groups of `own`, then the cells · group_offsets: (G + 1,) ·
    cells: (C, dim) rotated
    centers that tokens without an id in `own` are grouped by · steps: (256,), scales in int8 steps · points: (16,), values of the
    windows at scale 1, empty with 8 bits ·
    error: mean squared length of what coding loses, on the training sample.
    """

    dim: int
    nbits: int
    seed: int
    unit: float
    error: float
    centroids: Int8
    coarse_centroids: Int8
    coarse_offsets: Int64
    own: Int32
    members: Int32
    group_offsets: Int64
    cells: Float
    steps: Float
    codebook: Float

    @cached_property
    def rotation(self) -> Rotation:
        """The rotation that vectors go through."""
        return Rotation(self.dim, self.seed)

    @cached_property
    def levels(self) -> Int8:
        """(256, 16) int8: what each window adds to a centroid, at each scale."""
        table = np.zeros((STEPS, 16), np.int8)
        if self.nbits < 8:
            exact = self.steps[:, None] * self.codebook[None, :]
            table[:] = np.clip(np.rint(exact), -127, 127).astype(np.int8)
        return table

    @cached_property
    def _grouped(self) -> Float:
        """(K, dim) float32 centroids in the order of `members`."""
        values: Float = self.centroids[self.members, : self.dim].astype(np.float32) * np.float32(self.unit)
        return values

    @cached_property
    def searched(self) -> kernels.NativeCodec:
        """What `kernels.find_candidates` and `kernels.full_scores` take."""
        return kernels.native_codec(**self.for_search())

    def for_search(self) -> dict[str, Any]:
        """Arguments of `kernels.native_codec`. Probing compares with centroids and parents as unit vectors.

        A wide cluster has a short centroid; at its own length its documents would look worse than they are.
        """
        step = np.float32(1 / 127)
        return {
            "centroids": self.centroids, "levels": self.levels, "directions": _unit_rows(self.centroids, step),
            "coarse_centroids": _unit_rows(self.coarse_centroids, step), "coarse_offsets": self.coarse_offsets, "step": float(step),
            "dim": self.dim, "nbits": self.nbits,
        }  # fmt: skip

    @cached_property
    def owner(self) -> Int32:
        """(K,) int32: the vocabulary id that a centroid belongs to, -1 for those of cells."""
        owner = np.full(len(self.centroids), -1, np.int32)
        sizes = np.diff(self.group_offsets)[: len(self.own)]
        owner[self.members[: int(sizes.sum())]] = np.repeat(self.own, sizes)
        return owner

    @property
    def code_dtype(self) -> npt.DTypeLike:
        """What centroid numbers are stored as."""
        return np.uint16 if len(self.centroids) <= 1 << 16 else np.uint32

    @property
    def packed_width(self) -> int:
        """Bytes of a token's residual."""
        return kernels.padded_dim(self.dim) * self.nbits // 8

    def encode(self, vectors: Float, token_ids: Int32 | None, *, threads: int) -> Codes:
        """(n, dim) float32 unit rows -> codes. token_ids: (n,) or None where unknown."""
        turned = self.rotation.apply(vectors, threads=threads)
        groups = groups_of(turned, token_ids, self.own, self.cells, threads)
        codes = self.members[nearest_centroids(turned, groups, self._grouped, self.group_offsets, threads)].astype(
            np.uint32
        )
        scales, packed = self._residuals(turned, codes, threads)
        return Codes(codes, scales, packed)

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
        writer = BlockWriter(path, _VERSION)
        numbers = np.array([self.dim, self.nbits, self.seed], np.int64)
        arrays: list[tuple[str, npt.NDArray[np.generic]]] = [
            ("numbers", numbers), ("unit", np.array([self.unit, self.error])), ("centroids", self.centroids.view(np.uint8)),
            ("parents", self.coarse_centroids.view(np.uint8)), ("parent_offsets", self.coarse_offsets), ("own", self.own),
            ("members", self.members), ("group_offsets", self.group_offsets), ("cells", self.cells), ("steps", self.steps),
            ("points", self.codebook),
        ]  # fmt: skip
        try:
            for name, array in arrays:
                writer.begin(name, array.dtype, array.shape[1] if array.ndim == 2 else 0)
                writer.append(array)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    @classmethod
    def load(cls, path: Path) -> Codec:
        """Open a codec's file. Raises IndexCorruptError where it is damaged or its parts do not fit."""
        file = BlockFile(path)
        if problems := file.verify():  # small, and every later step trusts it
            raise IndexCorruptError(problems[0])

        def flat(name: str, kind: npt.DTypeLike) -> Any:
            return file.array(name, kind).copy()

        numbers = flat("numbers", np.int64)
        if len(numbers) != 3:
            raise IndexCorruptError(f"{path} is damaged: block 'numbers' has {len(numbers)} values, expected 3.")
        dim, nbits, seed = (int(value) for value in numbers)
        if nbits not in CODED_NBITS or not 1 <= dim <= 1 << 20:
            raise IndexCorruptError(f"{path} is damaged: dim={dim}, nbits={nbits}.")
        padded = kernels.padded_dim(dim)
        unit = flat("unit", np.float64)
        codec = cls(
            dim, nbits, seed, float(unit[0]), float(unit[-1]),
            centroids=file.array("centroids", np.uint8, padded).copy().view(np.int8),
            coarse_centroids=file.array("parents", np.uint8, padded).copy().view(np.int8),
            coarse_offsets=flat("parent_offsets", np.int64), own=flat("own", np.int32), members=flat("members", np.int32),
            group_offsets=flat("group_offsets", np.int64), cells=file.array("cells", np.float32, dim).copy(),
            steps=flat("steps", np.float32), codebook=_codebook(flat("points", np.float32)),
        )  # fmt: skip
        if not codec._fits():
            raise IndexCorruptError(f"{path} is damaged: its parts do not fit together.")
        return codec

    def _fits(self) -> bool:
        """Whether every number in the codec names something that is there."""
        k = len(self.centroids)
        return bool(
            k > 0
            and len(self.coarse_centroids) > 0
            and _covers(self.coarse_offsets, len(self.coarse_centroids), k)
            and _covers(self.group_offsets, len(self.own) + len(self.cells), k)
            and len(self.own) + len(self.cells) > 0
            and (np.diff(self.own) > 0).all()
            and np.array_equal(np.sort(self.members), np.arange(k))
            and len(self.steps) == STEPS
            and len(self.codebook) == (0 if self.nbits == 8 else WINDOWS)
            and all(_within_limits(values) for values in (self.cells, self.steps, self.codebook))
            and self.seed >= 0
            and 0 < self.unit < _LARGEST
            and 0 <= self.error < _LARGEST
        )


def _unit_rows(rows: Int8, step: np.float32) -> Int8:
    """Rows of length 1 in steps; a row of zeros stays one."""
    wide = rows.astype(np.float32)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    unit: Int8 = np.rint(wide / np.maximum(lengths * step, np.float32(1e-30))).astype(np.int8)
    return unit


def _codebook(codebook: Float) -> Float:
    """Points as version 1 kept them, one a code, whatever follows: the same for every window with that code."""
    return np.tile(codebook, WINDOWS // len(codebook)) if len(codebook) in (2, 4) else codebook


def _within_limits(values: Float) -> bool:
    """Whether these are numbers whose products stay numbers."""
    return bool((np.abs(values) < _LARGEST).all())


def _covers(offsets: Int64, parts: int, total: int) -> bool:
    """Whether offsets cut `total` things into `parts` parts, none of them empty."""
    return len(offsets) == parts + 1 and offsets[0] == 0 and offsets[-1] == total and bool((np.diff(offsets) > 0).all())


def groups_of(turned: Float, token_ids: Int32 | None, own: Int32, cells: Float, threads: int) -> Int32:
    """(n,) int32 group of each rotated vector: the place of its id in `own`, or len(own) + its nearest cell."""
    groups = np.full(len(turned), -1, np.int32)
    if token_ids is not None and len(own):
        place = np.minimum(np.searchsorted(own, token_ids), len(own) - 1).astype(np.int32)
        groups = np.where(own[place] == token_ids, place, np.int32(-1))
    rest = np.flatnonzero(groups < 0)
    if len(rest) and len(cells):
        whole = np.array([0, len(cells)], np.int64)
        zeros = np.zeros(len(rest), np.int32)
        groups[rest] = len(own) + nearest_centroids(np.ascontiguousarray(turned[rest]), zeros, cells, whole, threads)
    elif len(rest):  # every id of the training sample has centroids of its own, this one was not in it
        groups[rest] = 0
    return groups.astype(np.int32)
