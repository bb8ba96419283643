"""A fixed random rotation, cheap and the same on every machine: signs and Walsh-Hadamard transforms in fp32.

Spreads a vector's energy evenly over its dimensions, so that one quantizer fits all of them. Dot products stay
what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyvec.index.kernels import rotate

ROTATION_ROUNDS = 3


class Rotation:
    """An orthogonal map of `dim` dimensions.

    Args:
        signs: (ROTATION_ROUNDS, dim) of any real dtype, each 1 or -1.
    """

    def __init__(self, signs: npt.NDArray[np.generic]) -> None:
        self._signs = np.ascontiguousarray(signs, np.float32)

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


def drawn_signs(dim: int, seed: int) -> npt.NDArray[np.int8]:
    """(ROTATION_ROUNDS, dim) int8: the signs of a rotation, drawn from a seed.

    A codec's file holds them, because NumPy does not promise that a later version draws the same.
    """
    generator = np.random.default_rng([seed, dim])
    signs: npt.NDArray[np.int8] = generator.choice(np.array([-1, 1], np.float32), size=(ROTATION_ROUNDS, dim)).astype(
        np.int8
    )
    return signs
