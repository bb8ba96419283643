"""A catalog in blocks of 4 KiB, so that of one that has changed a little, a little travels.

SQLite changes its file page by page and leaves the others as they are. Blocks lie in packs, objects of many blocks; a map says
for each block of the catalog its digest, and where it is. Knows nothing about SQLite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import StorageError

BLOCK = 4096
PACK_BLOCKS = 1 << 14  # blocks in a pack at most: 64 MiB
_DIGEST = 16  # bytes
_RUN = 1 << 11  # blocks that one read fetches at most: 8 MiB
_MOST_EXTRA_PACKS = 64
_ROW = np.dtype([("digest", f"V{_DIGEST}"), ("pack", "<u4"), ("block", "<u4")])


@dataclass(frozen=True)
class BlockMap:
    """Where the blocks of a catalog are: (n,) rows of digest, number of the pack, and number of the block in it."""

    rows: npt.NDArray[Any]

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return self.rows.tobytes()

    @classmethod
    def from_bytes(cls, content: bytes, *, packs: Sequence[int], size_bytes: int) -> BlockMap:
        """Read one.

        Args:
            content: As it is stored.
            packs: Sizes of the packs, in bytes.
            size_bytes: Of the catalog.

        Raises:
            StorageError: It does not fit these sizes.
        """
        fits = len(content) == -(-size_bytes // BLOCK) * _ROW.itemsize
        if fits:
            rows = np.frombuffer(content, _ROW)
            blocks = np.array([size // BLOCK for size in packs] or [0], np.int64)
            fits = not len(rows) or bool(
                (rows["pack"] < len(packs)).all()
                and (rows["block"] < blocks[np.minimum(rows["pack"], len(blocks) - 1)]).all()
            )
        if not fits:
            raise StorageError("The map of a published catalog is damaged. Publish again, or pull another version.")
        return cls(rows)

    def places(self) -> dict[bytes, tuple[int, int]]:
        """Pack and number in it of every block, by its digest."""
        return {
            digest: (pack, block)
            for digest, pack, block in zip(
                map(bytes, self.rows["digest"]), self.rows["pack"].tolist(), self.rows["block"].tolist(), strict=True
            )
        }


@dataclass(frozen=True)
class Plan:
    """How a catalog is to be stored.

    Attributes:
        map: Packs that are kept come first in its numbers, then the new ones.
        kept: Numbers of the packs of the version before that are used again.
        new: For each new pack, the numbers of the catalog's blocks in it, in order.
    """

    map: BlockMap
    kept: list[int]
    new: list[list[int]]


def digests_of(path: Path) -> list[bytes]:
    """The digest of each block of a file; the last block is filled up with zeros."""
    with path.open("rb") as file:
        return [
            hashlib.blake2b(block.ljust(BLOCK, b"\0"), digest_size=_DIGEST).digest()
            for block in iter(lambda: file.read(BLOCK), b"")
        ]


def planned(digests: Sequence[bytes], before: BlockMap | None, packs: Sequence[int]) -> Plan:
    """Store only blocks that the version before does not have; everything anew where its packs hold mostly blocks that are gone.

    Args:
        digests: Of the catalog's blocks.
        before: The map of the version before; None for the first one.
        packs: Sizes of its packs, in bytes.
    """
    known = {} if before is None else before.places()
    plan = _plan(digests, known)
    held = sum(packs[number] // BLOCK for number in plan.kept) + sum(map(len, plan.new))
    most_packs = _MOST_EXTRA_PACKS + 2 * len(digests) // PACK_BLOCKS
    if held > 2 * len(digests) or len(plan.kept) > most_packs:
        return _plan(digests, {})
    return plan


def _plan(digests: Sequence[bytes], known: dict[bytes, tuple[int, int]]) -> Plan:
    kept = sorted({known[digest][0] for digest in digests if digest in known})
    numbers = {old: number for number, old in enumerate(kept)}
    places = {digest: (numbers[pack], block) for digest, (pack, block) in known.items() if pack in numbers}
    new: list[list[int]] = []
    rows = np.zeros(len(digests), _ROW)
    for block, digest in enumerate(digests):
        if digest not in places:
            if not new or len(new[-1]) == PACK_BLOCKS:
                new.append([])
            places[digest] = (len(kept) + len(new) - 1, len(new[-1]))
            new[-1].append(block)
        rows["pack"][block], rows["block"][block] = places[digest]
    rows["digest"] = np.frombuffer(b"".join(digests), f"V{_DIGEST}")
    return Plan(BlockMap(rows), kept, new)


def write_pack(catalog: Path, blocks: Sequence[int], path: Path) -> None:
    """Write some blocks of a catalog to a file."""
    with catalog.open("rb") as file, path.open("wb") as pack:
        for number in blocks:
            file.seek(number * BLOCK)
            pack.write(file.read(BLOCK).ljust(BLOCK, b"\0"))


def reads(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive blocks, as (first, one past the last), of ascending numbers."""
    begin = end = -1
    for number in numbers:
        if number != end or end - begin == _RUN:
            if begin >= 0:
                yield begin, end
            begin = number
        end = number + 1
    if begin >= 0:
        yield begin, end
