"""The engine of fp16 segments: every document that may be returned gets a full score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.index.engine.options import SearchOptions
from polyvec.index.engine.protocol import Allowed
from polyvec.index.segment import VectorsSegment

Float = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class VectorsEngine:
    """The `Engine` of fp16 vectors.

    Args:
        dim: Of the vectors.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def open(self, path: Path) -> VectorsSegment:
        """Open a segment."""
        return VectorsSegment(path, self._dim)

    def prepare(self, vectors: Float) -> Float:
        """The query as it is, (q, dim) float32."""
        return vectors

    def candidates(
        self,
        query: Float,
        options: SearchOptions,
        segments: Sequence[VectorsSegment],
        allowed: Sequence[Allowed | None],
        threads: int,
    ) -> Sequence[Int64 | None]:
        """The allowed ones: no candidate generation."""
        return [None if one is None else one.positions for one in allowed]
