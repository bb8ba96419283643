# Made by native/stubs.py from the compiled module: change the bindings and run it again.
# ruff: noqa
# fmt: off
"""
Native kernels of polyvec. They check shapes, dtypes and whatever numbers would lead out of an array.
"""

from collections.abc import Sequence
from typing import Annotated, Any, overload

import numpy
from numpy.typing import NDArray


def maxsim_f32(query: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], tokens: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], which: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, threads: int, kernel: str) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
    """MaxSim with documents in float32."""

def maxsim_f16(query: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], tokens: Annotated[NDArray[numpy.uint16], dict(shape=(None, None), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], which: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, threads: int, kernel: str) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
    """MaxSim with documents in float16, given as their bits."""

def maxsim_kernels() -> list[str]:
    """Kernels for maxsim_f32 and maxsim_f16, best first."""

class Codec:
    """A codec's arrays, checked once and kept."""

    def __init__(self, *, centroids: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], directions: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], coarse_centroids: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], coarse_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], levels: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], step: float, dim: int, nbits: int) -> None: ...

class Segment:
    """
    A segment's arrays, checked once and kept; without postings it can be scored but not searched.
    """

    def __init__(self, *, codes: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)] | Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], packed: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], stream: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, starts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None) -> None: ...

class Narrowing:
    """
    How many documents each step of finding candidates keeps; docs/engine.md explains the fields.
    """

    def __init__(self, *, k: int, nprobe: int, coarse_nprobe: int, generation_imputed: float, near: float, approximate_imputed: float, length_penalty: float, generated: int, approximately_scored: int, fully_scored: int, generation_margin: float, interaction_margin: float, approximate_margin: float) -> None: ...

    @property
    def k(self) -> int: ...

    @property
    def nprobe(self) -> int: ...

    @property
    def coarse_nprobe(self) -> int: ...

    @property
    def generation_imputed(self) -> float: ...

    @property
    def near(self) -> float: ...

    @property
    def approximate_imputed(self) -> float: ...

    @property
    def length_penalty(self) -> float: ...

    @property
    def generated(self) -> int: ...

    @property
    def approximately_scored(self) -> int: ...

    @property
    def fully_scored(self) -> int: ...

    @property
    def generation_margin(self) -> float: ...

    @property
    def interaction_margin(self) -> float: ...

    @property
    def approximate_margin(self) -> float: ...

def find_candidates(codec: Codec, segments: Sequence[Segment], masks: Sequence[Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)] | None], query: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], query_scales: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], narrowing: Narrowing, *, threads: int, kernel: str) -> list[Annotated[NDArray[numpy.int64], dict(shape=(None,))]] | int:
    """
    The positions of each segment that get a full score, or the number of the first damaged segment.
    """

def full_scores(codec: Codec, segment: Segment, query: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], query_scales: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], documents: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], *, threads: int, kernel: str) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
    """MaxSim of the query with these documents."""

def codes_kernels() -> list[str]:
    """Kernels for find_candidates and full_scores, best first."""

def assign(vectors: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], groups: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], centroids: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], biases: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], group_offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], threads: int, kernel: str) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]:
    """The nearest centroid of each vector's group."""

def cluster_sums(vectors: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], nearest: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], clusters: int, threads: int) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None))]:
    """The sum of each cluster's vectors."""

def quantize(residuals: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], steps: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], codebook: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], nbits: int, threads: int, kernel: str) -> tuple[Annotated[NDArray[numpy.uint8], dict(shape=(None,))], Annotated[NDArray[numpy.uint8], dict(shape=(None, None))]]:
    """Scales and packed codes of residuals."""

def rotate(rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], signs: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], scale: float, forward: bool, threads: int) -> None:
    """Rotates rows in place."""

def assign_kernels() -> list[str]:
    """Kernels for assign, best first."""

def quantize_kernels() -> list[str]:
    """Kernels for quantize, best first."""

class LinearWeights:
    @overload
    def __init__(self, weights: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, int8: bool, kernel: str) -> None: ...

    @overload
    def __init__(self, codes: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, int8: bool, kernel: str) -> None: ...

class Backbone:
    def __init__(self, kernel: str, hidden: int, heads: int, feed: int, eps: float, centered: bool, norm_first: bool, gated: bool, words: Sequence[tuple[Annotated[NDArray[Any], dict(shape=(None, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None]], positions: Sequence[tuple[Annotated[NDArray[Any], dict(shape=(None, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None]], type: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, embedding_norm: tuple[Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None] | None, final_norm: tuple[Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None] | None, layers: Sequence[tuple[object, object, object, object, tuple[Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None] | None, tuple[Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None] | None, int, int]], projections: Sequence[tuple[object, object | None, bool]]) -> None: ...

    @property
    def width(self) -> int: ...

    def encode(self, ids: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], attended: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], first_position: int, rotary: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], threads: int) -> None: ...

def encoder_kernels() -> list[str]: ...

def encoder_kernel(name: str) -> str: ...
