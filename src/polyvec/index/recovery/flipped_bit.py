"""A checksum that is wrong -> the one bit whose flip explains it, if there is one.

CRC-32 is linear: what a flip changes in the checksum depends on how many bytes follow it alone, and no two places of less than
512 MB are alike. Found with a table of near places and long strides through the others (Shanks), not by trying each.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

CERTAIN_BYTES = 1 << 19  # up to here, other damage looks like one flipped bit in less than one case of a thousand
_LARGEST = 1 << 29
_POLYNOMIAL = 0xEDB88320

Words = npt.NDArray[np.uint32]


def flipped_bit(data: npt.NDArray[np.uint8], expected: int) -> tuple[int, int] | None:
    """The byte and the bit in it (0 to 7) that were flipped in data with this CRC-32 before; None where no one bit explains it."""
    change = zlib.crc32(data.data) ^ expected
    if not change or not len(data) or len(data) >= _LARGEST:
        return None
    stride = min(1 << 16, 1 << max(6, (len(data).bit_length() + 3) // 2))
    near = _near(stride)
    back = _far_back(stride)
    value = change
    for skipped in range(0, len(data), stride):
        if (found := near.get(value)) is not None:
            following = skipped + found // 8
            return (len(data) - 1 - following, found % 8) if following < len(data) else None
        value = int(
            back[0][value & 255] ^ back[1][value >> 8 & 255] ^ back[2][value >> 16 & 255] ^ back[3][value >> 24]
        )
    return None


def _table() -> Words:
    """What each byte changes in the checksum when none follows."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _table()
_BY_TOP = np.argsort(_TABLE >> 24).astype(np.uint32)  # which byte has an entry with this top byte


def _near(places: int) -> dict[int, int]:
    """8 * following bytes + bit, by the change that a flip there makes."""
    values = _TABLE[1 << np.arange(8)]
    near: dict[int, int] = {}
    for following in range(places):
        for bit, value in enumerate(values.tolist()):
            near[value] = 8 * following + bit
        values = values >> 8 ^ _TABLE[values & 255]
    return near


def _far_back(places: int) -> list[Words]:
    """Four tables, by byte, of the map that takes a change back by so many following bytes."""
    basis = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(places):
        byte = _BY_TOP[basis >> 24]
        basis = ((basis ^ _TABLE[byte]) << np.uint32(8)) | byte
    tables = []
    for start in range(0, 32, 8):
        table = np.zeros(256, np.uint32)
        for bit in range(8):
            table[(np.arange(256) >> bit & 1) == 1] ^= basis[start + bit]
        tables.append(table)
    return tables
