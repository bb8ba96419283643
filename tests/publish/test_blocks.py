"""Blocks of a catalog: whatever it was and has become, it is put together again from what was stored."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import StorageError
from polyvec.publish import blocks
from polyvec.publish.blocks import BLOCK, BlockMap, digests_of, planned, reads, write_pack

contents = st.lists(st.integers(0, 5), max_size=12)


def block(number: int) -> bytes:
    return bytes([number]) * BLOCK


@given(st.lists(contents, min_size=1, max_size=6), st.integers(1, 5))
def test_each_version_is_whole(versions: list[list[int]], pack_blocks: int) -> None:
    packs: list[bytes] = []
    before: BlockMap | None = None
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "PACK_BLOCKS", pack_blocks)
        catalog, pack = Path(name, "catalog"), Path(name, "pack")
        for numbers in versions:
            wanted = b"".join(map(block, numbers))
            catalog.write_bytes(wanted)
            plan = planned(digests_of(catalog), before, [len(one) for one in packs])
            packs = [packs[number] for number in plan.kept]
            for new in plan.new:
                assert len(new) <= pack_blocks
                write_pack(catalog, new, pack)
                packs.append(pack.read_bytes())
            sizes = [len(one) for one in packs]
            before = BlockMap.from_bytes(plan.map.to_bytes(), packs=sizes, size_bytes=len(wanted))
            found = [packs[p][b * BLOCK : (b + 1) * BLOCK] for _, p, b in before.rows.tolist()]
            assert b"".join(found) == wanted
            assert sum(sizes) <= 2 * len(wanted)  # what is gone does not pile up
            assert [bytes(one) for one in before.rows["digest"]] == digests_of(catalog)


def test_only_new_blocks_are_stored(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    catalog.write_bytes(b"".join(block(n % 100) for n in range(100)))
    first = planned(digests_of(catalog), None, [])
    assert [len(new) for new in first.new] == [100]
    changed = bytearray(catalog.read_bytes())
    changed[50 * BLOCK] ^= 255
    catalog.write_bytes(changed)
    second = planned(digests_of(catalog), first.map, [100 * BLOCK])
    assert (second.kept, second.new) == ([0], [[50]])


def test_a_last_block_that_is_short(tmp_path: Path) -> None:
    catalog, pack = tmp_path / "catalog", tmp_path / "pack"
    catalog.write_bytes(block(1) + b"end")
    plan = planned(digests_of(catalog), None, [])
    write_pack(catalog, plan.new[0], pack)
    assert pack.read_bytes() == block(1) + b"end".ljust(BLOCK, b"\0")
    BlockMap.from_bytes(plan.map.to_bytes(), packs=[2 * BLOCK], size_bytes=BLOCK + 3)


@given(st.sets(st.integers(0, 200)))
def test_reads_cover_what_is_asked_for(numbers: set[int]) -> None:
    runs = list(reads(sorted(numbers)))
    assert {n for begin, end in runs for n in range(begin, end)} == numbers
    assert sum(end - begin for begin, end in runs) == len(numbers)


def test_long_runs_are_read_in_parts() -> None:
    assert list(reads(range(5000))) == [(0, 2048), (2048, 4096), (4096, 5000)]


@pytest.mark.parametrize(("cut", "packs"), [(0, [BLOCK]), (0, []), (1, [2 * BLOCK])])
def test_a_map_that_does_not_fit_is_refused(tmp_path: Path, cut: int, packs: list[int]) -> None:
    catalog = tmp_path / "catalog"
    catalog.write_bytes(block(1) + block(2))
    content = planned(digests_of(catalog), None, []).map.to_bytes()
    with pytest.raises(StorageError, match="map of a published catalog is damaged"):
        BlockMap.from_bytes(content[cut:], packs=packs, size_bytes=2 * BLOCK)
