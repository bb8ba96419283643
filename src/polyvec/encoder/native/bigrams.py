"""Hashed bigrams in NumPy: what `polyvec.modules.HashedBigrams` adds to every vector, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_BITS = 64
_NONE_BEFORE = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Bigrams:
    """weight: of the hash in each vector · special_ids: tokens that have none, and after which a token counts as a first one."""

    weight: float
    special_ids: tuple[int, ...]

    def added(self, unit: npt.NDArray[np.float32], ids: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """(t, dim) unit vectors and (t,) ids -> the vectors with their bigrams added, not normalized.

        Several texts may follow one another, since each begins with a special token.
        """
        summed: npt.NDArray[np.float32] = unit + np.float32(self.weight) * self.signs(ids, unit.shape[1])
        return summed

    def signs(self, ids: npt.NDArray[np.integer], dim: int) -> npt.NDArray[np.float32]:
        """(t,) ids -> (t, dim) unit vectors of pseudo-random signs; zeros for special tokens."""
        words = ids.astype(np.uint64)
        known = _membership(self.special_ids)
        special = known[np.minimum(ids, len(known) - 1)]
        before = np.full(len(ids), _NONE_BEFORE)
        before[1:] = words[:-1]
        before[1:][special[:-1]] = _NONE_BEFORE
        mixed = (before << np.uint64(32)) ^ words
        numbers = np.arange(-(-dim // _BITS), dtype=np.uint64)
        parts = _mixed(mixed[:, None] + numbers)
        found = _eights(dim)[parts.astype("<u8", copy=False).view(np.uint8)].reshape(len(ids), -1)[:, :dim]
        found[special] = 0.0
        return found


@lru_cache(maxsize=8)
def _membership(ids: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Whether an id is among some, by id; the last entry stands for every id beyond."""
    table = np.zeros(max(ids, default=-1) + 2, dtype=bool)
    table[list(ids)] = True
    return table


@lru_cache(maxsize=8)
def _eights(dim: int) -> npt.NDArray[np.float32]:
    """(256, 8): the signs that the bits of a byte stand for, lowest first, in a unit vector of so many dimensions."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    size = np.float32(1 / dim**0.5)
    table: npt.NDArray[np.float32] = np.where(bits, size, -size).astype(np.float32, copy=False)
    return table


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """uint64 -> uint64 whose bits all depend on all of the input's: a step of SplitMix64 (Steele et al., 2014)."""
    z = words * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x1E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
