"""A flipped bit is found from the checksum alone, wherever it is; other damage is not taken for one."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.index.recovery.flipped_bit import flipped_bit


@given(data=st.binary(min_size=1, max_size=3000), place=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(data: bytes, place: int, bit: int) -> None:
    harmed = np.frombuffer(data, np.uint8).copy()
    place %= len(data)
    harmed[place] ^= 1 << bit
    assert flipped_bit(harmed, zlib.crc32(data)) == (place, bit)


@pytest.mark.parametrize("size", [1, 64, 65, 4096, 70_001, 1_000_003])
def test_first_and_last_byte_of_any_size(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    expected = zlib.crc32(data.data)
    for place in {0, size // 2, size - 1}:
        data[place] ^= 0x10
        assert flipped_bit(data, expected) == (place, 4)
        data[place] ^= 0x10


def test_sound_data_and_other_damage_have_none() -> None:
    data = np.arange(10_000, dtype=np.uint32).view(np.uint8).copy()
    expected = zlib.crc32(data.data)
    assert flipped_bit(data, expected) is None
    data[100:612] = 0
    assert flipped_bit(data, expected) is None
