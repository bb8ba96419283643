"""A fixed random rotation, cheap and the same on every machine: signs and Walsh-Hadamard transforms in fp32.

Spreads a vector's energy evenly over its dimensions, so that one scalar quantiser fits all of them. Dot products stay
what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 3


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
        turned = np.array(vectors, np.float32, copy=True)
        for number, signs in enumerate(self._signs):
            turned *= signs
            start = self.dim - self._block if number % 2 else 0
            turned[:, start : start + self._block] = self._hadamard(turned[:, start : start + self._block])
        return turned

    def undo(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 rotated -> (n, dim) float32 as they were, but for rounding."""
        turned = np.array(vectors, np.float32, copy=True)
        for number in reversed(range(_ROUNDS)):
            start = self.dim - self._block if number % 2 else 0
            turned[:, start : start + self._block] = self._hadamard(turned[:, start : start + self._block])
            turned *= self._signs[number]
        return turned

    def _hadamard(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        n, size = block.shape
        step = 1
        while step < size:
            pairs = block.reshape(n, size // (2 * step), 2, step)
            block = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(
                n, size
            )
            step *= 2
        scaled: npt.NDArray[np.float32] = block * self._scale
        return scaled
