"""A fixed random rotation, cheap and the same on every machine: signs and Walsh-Hadamard transforms in fp32.

Spreads a vector's energy evenly over its dimensions, so that one scalar quantiser fits all of them. Dot products stay
what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 3
_ROWS_AT_ONCE = 1024


class Rotation:
    """Orthogonal map of `dim` dimensions drawn from a seed. Two blocks of a power of two cover any dim, from both ends in turn."""

    def __init__(self, dim: int, seed: int) -> None:
        generator = np.random.default_rng([seed, dim])
        self.dim = dim
        self._block = 1 << (dim.bit_length() - 1)  # the largest power of two that fits
        self._signs = generator.choice(np.array([-1, 1], np.float32), size=(_ROUNDS, dim))
        self._scale = np.float32(1 / np.sqrt(self._block))

    def apply(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 -> (n, dim) float32 rotated."""
        return self._turned(vectors, np.empty(vectors.shape, np.float32), range(_ROUNDS), forward=True)

    def apply_in_place(self, vectors: npt.NDArray[np.float32]) -> None:
        """Rotate (n, dim) float32 where they lie."""
        self._turned(vectors, vectors, range(_ROUNDS), forward=True)

    def undo(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 rotated -> (n, dim) float32 as they were, but for rounding."""
        return self._turned(vectors, np.empty(vectors.shape, np.float32), range(_ROUNDS - 1, -1, -1), forward=False)

    def _turned(
        self, vectors: npt.NDArray[np.float32], turned: npt.NDArray[np.float32], rounds: range, *, forward: bool
    ) -> npt.NDArray[np.float32]:
        """Rows in parts that stay in the cache, dimensions first, so that every sum runs over whole rows of memory."""
        for first in range(0, len(vectors), _ROWS_AT_ONCE):
            part = np.array(vectors[first : first + _ROWS_AT_ONCE].T, np.float32, order="C")  # (dim, rows)
            for number in rounds:
                start = self.dim - self._block if number % 2 else 0
                if forward:
                    part *= self._signs[number][:, None]
                self._hadamard(part[start : start + self._block])
                if not forward:
                    part *= self._signs[number][:, None]
            turned[first : first + _ROWS_AT_ONCE] = part.T
        return turned

    def _hadamard(self, block: npt.NDArray[np.float32]) -> None:
        """(size, rows) transformed in place."""
        size, rows = block.shape
        step = 1
        while step < size:
            pairs = block.reshape(size // (2 * step), 2, step, rows)  # a view: the block is contiguous
            sums = pairs[:, 0] + pairs[:, 1]
            np.subtract(pairs[:, 0], pairs[:, 1], out=pairs[:, 1])
            pairs[:, 0] = sums
            step *= 2
        block *= self._scale
