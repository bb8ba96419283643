"""A query in codes -> the documents of coded segments that are worth a full score: probe, gather, interact, look.

Each step keeps fewer documents and looks at them more closely; docs/engine.md has what each costs and finds. Knows nothing
about rows, files or hits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index import kernels
from polyvec.index.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodedSegment
from polyvec.index.options import SearchOptions
from polyvec.index.segment import top_k

_PARENTS = 1  # parents a query row looks into for each centroid probed
_MISSING = 0.95  # of the score of a row's last probed centroid: what a document is taken to have where it met none
_DOUBLING = 0.005  # of the highest possible score: what twice the length takes from a document's order when interacting
_NEAR = 0.97  # of the score of a row's last probed centroid: tokens of centroids from there on are looked at
_MANY, _NEAR_OF_MANY = 50, 0.93  # the same where so many hits are wanted
_LEAST = 0.85  # of that: what a document is taken to have where it has no such token
_BYTE = 255  # the byte of a cosine of 1
_KEPT_BYTES = 1 << 24  # a table that a thread keeps, at most: 65,536 centroids and 256 query rows
# How far below the k-th best a document may be after each step and stay, where the number of candidates is left open. At 128
# dimensions, and of the root of the summed squares of the query's rows: that is how errors of rows add up.
_GATHERED_WITHIN, _ORDERED_WITHIN, _LOOKED_WITHIN = 0.28, 0.3, 0.18

Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def find_candidates(
    codec: Codec,
    query: CodedQuery,
    options: SearchOptions,
    segments: Sequence[CodedSegment],
    masks: Sequence[Bytes | None],
    threads: int,
) -> list[Int64]:
    """The ascending positions of each segment to score in full, options.scored of all at most.

    segments: with postings · masks: for each (n_documents,) 0 for a document to pass over, or None. Deterministic, whatever the
    number of threads; ties go to the lower position.
    """
    near = _NEAR if options.k < _MANY else _NEAR_OF_MANY
    probed = _probe(codec, query, min(options.nprobe, len(codec.centroids)), near, threads)
    gathered = [
        segment.gather(probed.numbers, probed.gains, mask, options.gathered)
        for segment, mask in zip(segments, masks, strict=True)
    ]
    within = math.sqrt(math.fsum(probed.norms**2) * 128 / codec.dim) if options.candidates is None else math.inf
    kept = _best(
        [scores for _, scores in gathered], [positions for positions, _ in gathered], options.gathered, options.k,
        within * _GATHERED_WITHIN / probed.gain,
    )  # fmt: skip
    orders = [
        probed.order(segment.interact(probed.table, positions, threads), segment.lengths(positions))
        for segment, positions in zip(segments, kept, strict=True)
    ]
    kept = _best(orders, kept, options.looked, options.k, within * _ORDERED_WITHIN / probed.unit)
    looks = [
        segment.look(query, positions, probed.marked, probed.least, threads)
        for segment, positions in zip(segments, kept, strict=True)
    ]
    return _best(looks, kept, options.scored, options.k, within * _LOOKED_WITHIN)


@dataclass(frozen=True)
class _Probed:
    """What is known of the centroids. Arguments of kernels.gather, interact and look, and what a document's order depends on."""

    norms: npt.NDArray[np.float64]  # of the query's rows
    numbers: npt.NDArray[np.int32]
    gains: npt.NDArray[np.uint16]
    gain: float  # what a unit of them is worth
    table: Bytes
    unit: float  # what a byte of it is worth
    marked: Bytes
    least: Float
    doubling: float  # what twice the length takes, in the table's bytes

    def order(self, sums: npt.NDArray[np.int32], lengths: Int64) -> npt.NDArray[np.float64]:
        """(n,) sums of bytes and lengths in tokens -> a long document's many centroids come near a query by chance."""
        return sums - self.doubling * _doublings(lengths)


def _probe(codec: Codec, query: CodedQuery, nprobe: int, near: float, threads: int) -> _Probed:
    centroids, parents, step = codec.directions
    norms = np.sqrt(np.einsum("ij,ij->i", query.rows, query.rows, dtype=np.float64)) * query.scales
    unit = max(float(norms.max()), 1e-30) / _BYTE  # what a byte of the table is worth
    worth = np.rint(query.scales * (step / unit * (1 << 16))).astype(np.int32)
    table = _memory.table(len(centroids), kernels.table_width(len(query.rows)))
    numbers, dots = kernels.probe(
        query.rows, parents, codec.parent_offsets, centroids, nprobe, _PARENTS * nprobe, worth=worth, table=table,
        threads=threads,
    )  # fmt: skip
    cosines = dots * np.float32(step)  # but for the scale of the query's rows
    values = cosines * query.scales[:, None]
    reach = np.full(table.shape[1], 255, np.uint8)  # bytes beyond the query's rows are 0
    reach[: len(values)] = np.clip(np.ceil(values[:, -1] * (near / unit)), 1, 255)
    least = np.ascontiguousarray(cosines[:, -1] * (near * _LEAST), np.float32)
    doubling = _DOUBLING * _BYTE * math.fsum(norms) / max(float(norms.max()), 1e-30)
    gains, gain = _gains(values)
    return _Probed(norms, numbers, gains, gain, table, unit, kernels.mark(table, reach), least, doubling)


def _gains(values: Float) -> tuple[npt.NDArray[np.uint16], float]:
    """(q, nprobe) scores of the probed centroids, best first -> what gathering adds for each over what is missing, and the unit."""
    missing = values[:, -1:] - np.float32(1 - _MISSING) * np.abs(values[:, -1:])
    over = values - missing
    unit = max(math.fsum(over[:, 0]), 1e-30) / (65535 * 0.999)
    gains: npt.NDArray[np.uint16] = np.floor(over * np.float32(1 / unit)).astype(np.uint16)
    return gains, unit


def _doublings(lengths: Int64) -> npt.NDArray[np.float64]:
    """log2, along straight lines between powers of two: the same bits on every machine. At least 1 counts."""
    mantissas, exponents = np.frexp(np.maximum(lengths, 1).astype(np.float64))
    doublings: npt.NDArray[np.float64] = exponents - 2 + 2 * mantissas
    return doublings


def _best(
    scores: Sequence[npt.NDArray[Any]], positions: Sequence[Int64], count: int, k: int, within: float
) -> list[Int64]:
    """Of several segments' positions, those with the `count` best scores of all, as far as they are `within` the k-th best's."""
    flat = np.concatenate(scores)
    keep = np.ones(len(flat), bool)
    if len(flat) > count:
        keep[:] = False
        keep[top_k(flat, count)] = True
    if len(flat) > k and within < math.inf:
        keep &= flat >= np.partition(flat, len(flat) - k)[len(flat) - k] - within
    cuts = np.cumsum([len(part) for part in positions])[:-1]
    return [part[kept] for part, kept in zip(positions, np.split(keep, cuts), strict=True)]


class _Memory(threading.local):
    """What a thread keeps from query to query, as fresh pages are dear."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def table(self, rows: int, width: int) -> Bytes:
        """(rows, width) uint8 with anything in it, good until the next call."""
        if rows * width > _KEPT_BYTES:
            return np.empty((rows, width), np.uint8)
        if len(self._bytes) < rows * width:
            self._bytes = np.empty(rows * width, np.uint8)
        return self._bytes[: rows * width].reshape(rows, width)


_memory = _Memory()
