"""A fixed random rotation, cheap and the same on every machine: signs and Walsh-Hadamard transforms in fp32.

Spreads a vector's energy evenly over its dimensions, so that one quantizer fits all of them. Dot products stay
what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec.index.kernels import rotate

_ROUNDS = 3


class Rotation:
    """Orthogonal map of `dim` dimensions drawn from a seed."""

    def __init__(self, dim: int, seed: int) -> None:
        generator = np.random.default_rng([seed, dim])
        self.dim = dim
        self._signs = generator.choice(np.array([-1, 1], np.float32), size=(_ROUNDS, dim))

    def apply(self, vectors: npt.NDArray[np.float32], *, threads: int = 1) -> npt.NDArray[np.float32]:
        """(n, dim) float32 -> (n, dim) float32 rotated."""
        turned = np.array(vectors, np.float32, order="C")
        self.apply_in_place(turned, threads=threads)
        return turned

    def apply_in_place(self, vectors: npt.NDArray[np.float32], *, threads: int = 1) -> None:
        """Rotate (n, dim) float32 where they lie."""
        rotate(vectors, self._signs, forward=True, threads=threads)

    def undo(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 rotated -> (n, dim) float32 as they were, but for rounding."""
        turned = np.array(vectors, np.float32, order="C")
        rotate(turned, self._signs, forward=False)
        return turned
