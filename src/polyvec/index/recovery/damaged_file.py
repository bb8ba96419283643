"""A block file that may be damaged -> which of its blocks are right, and the file as it was, where that is known.

Beside the file it knows the checksum of its page and its size, which the catalog keeps too. Changes nothing on disk. Knows
nothing about what the arrays mean.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.format import PAGE, Block, aligned, pack_page, read_table, set_page_checksum, sync_folder
from polyvec.index.recovery.flipped_bit import CERTAIN_BYTES, flipped_bit


class Planned(NamedTuple):
    """A block of a file, before it is known where it begins."""

    name: str
    dtype: npt.DTypeLike
    rows: int
    columns: int = 0
    optional: bool = False


Layout = Sequence[Planned]  # the blocks of a file, in their order


@dataclass
class Part:
    """What is known of one block.

    Attributes:
        block: As the file lists it.
        right: Whether it is as it was written, beyond reasonable doubt.
        rows: How many of its rows are in the file; fewer than it had where the file was cut.
        changed: Rows in which a flipped bit was put right, where that is not certain.
    """

    block: Block
    right: bool
    rows: int
    changed: list[int] = field(default_factory=list)


class DamagedFile:
    """A file read for repair.

    `parts` are its blocks by name; `problems` says what is wrong, one sentence each.

    Args:
        path: Of the file.
        checksum: Of its page, as the catalog has it.
        size: In bytes, as the catalog has it.
        layouts: The ways in which its blocks may lie, asked for where its page is lost.
        kind: Of the file.

    Raises:
        IndexCorruptError: Nothing of it can be used: it is missing, or another file than the catalog lists.
    """

    def __init__(
        self, path: Path, checksum: str, size: int, layouts: Callable[[], Sequence[Layout]], kind: str
    ) -> None:
        self.path = path
        self.problems: list[str] = []
        self._checksum, self._size, self._kind = int(checksum, 16), size, kind
        self._data = self._read(size)
        self.parts: dict[str, Part] = {}
        blocks, self._page_right = self._page(layouts)
        for block in blocks:
            self.parts[block.name] = self._examined(block)

    @property
    def right(self) -> bool:
        """Whether every block is right, and its page: the file can be written as it was."""
        return self._page_right and all(part.right for part in self.parts.values())

    def array(self, name: str) -> npt.NDArray[Any]:
        """The rows of a block that are there."""
        part = self.parts[name]
        block = part.block
        flat = self._data[block.offset : block.offset + part.rows * self._width(block)].view(block.dtype)
        return flat.reshape(part.rows, block.columns) if block.columns else flat

    def is_right(self, name: str) -> bool:
        """Whether there is such a block, and it is as it was written."""
        return name in self.parts and self.parts[name].right

    def put(self, name: str, array: npt.NDArray[Any]) -> bool:
        """Put what a block holds, derived from others, in its place; whether its checksum says that it is what it was."""
        part = self.parts.get(name)
        if part is None:
            return False
        block = part.block
        data = np.ascontiguousarray(array, block.dtype)
        fits = len(data) == block.rows and (not self._page_right or zlib.crc32(data.data.cast("B")) == block.checksum)
        if fits and block.size:
            self._data[block.offset : block.offset + block.size] = data.view(np.uint8).ravel()
        if fits:
            part.right, part.rows, part.changed = True, block.rows, []
        return fits

    def prove_page(self) -> None:
        """Where the page was made anew: whether, with the blocks as they are now, it is the one that the catalog knows."""
        if not self._page_right:
            blocks = [self._summed(part.block) for part in self.parts.values()]
            page, actual = pack_page(self._kind, blocks, self._size)
            if actual == self._checksum:
                self._page_right = True
                self._data[:PAGE] = np.frombuffer(page, np.uint8)
                for part, block in zip(self.parts.values(), blocks, strict=True):
                    part.block, part.right, part.rows, part.changed = block, True, block.rows, []

    def write(self, path: Path) -> None:
        """Write the file as it was, durably, under a temporary name first."""
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(self._data.data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"Cannot write {path}: {error.strerror}. Free some space and try again.") from error

    def _read(self, size: int) -> npt.NDArray[np.uint8]:
        """All the bytes that there should be, in memory or mapped without writing through; zeros after a cut."""
        try:
            self.present = self.path.stat().st_size
            if not self.path.is_file():
                raise IndexCorruptError(f"{self.path} is no file.")
            if self.present >= size:
                if self.present > size:
                    self.problems.append(f"{self.path}: {self.present - size} bytes more than were written")
                return np.memmap(self.path, np.uint8, "c", shape=(size,))
            self.problems.append(f"{self.path}: cut at {self.present} of {size} bytes")
            data = np.zeros(size, np.uint8)
            with self.path.open("rb") as file:
                file.readinto(data[: self.present].data)
            self.present = min(self.present, size)
            return data
        except OSError as error:
            raise IndexCorruptError(f"{self.path} cannot be read: {error.strerror}") from error

    def _page(self, layouts: Callable[[], Sequence[Layout]]) -> tuple[list[Block], bool]:
        """The blocks, and whether their checksums can be trusted."""
        page = bytearray(self._data[:PAGE].tobytes())
        own = int.from_bytes(page[24:28], "little")
        actual = set_page_checksum(page, self._checksum)
        if actual != self._checksum and actual == own and page.strip(b"\0"):
            raise IndexCorruptError(f"{self.path} is another file than the catalog lists")
        if actual != self._checksum or own != self._checksum:
            self.problems.append(f"{self.path}: its first page is damaged")
        if actual != self._checksum:
            bare = np.frombuffer(page, np.uint8).copy()
            bare[24:28] = 0
            if place := flipped_bit(bare, self._checksum):
                page[place[0]] ^= 1 << place[1]
                actual = self._checksum
        if actual == self._checksum:
            self._data[:PAGE] = np.frombuffer(page, np.uint8)
            try:
                return list(read_table(self.path, page, self._size)), True
            except IndexCorruptError as error:
                raise IndexCorruptError(f"{self.path} cannot be read") from error
        return self._guessed(layouts()), False

    def _guessed(self, layouts: Sequence[Layout]) -> list[Block]:
        """The blocks by the layout that fits: where a page with their checksums is the one that the catalog knows, surely so."""
        fitting = []
        for layout in layouts:
            blocks, end = placed(layout)
            if end == self._size:
                fitting.append(blocks)
        sums: dict[tuple[int, int], int] = {}
        for blocks in fitting:
            for block in blocks:
                if (block.offset, block.size) not in sums:
                    sums[block.offset, block.size] = self._summed(block).checksum
            summed = [replace(block, checksum=sums[block.offset, block.size]) for block in blocks]
            if pack_page(self._kind, summed, self._size)[1] == self._checksum:
                return blocks
        if not fitting:
            raise IndexCorruptError(f"{self.path} cannot be read: its list of blocks is lost")
        return fitting[0]

    def _examined(self, block: Block) -> Part:
        there = min(max(self.present - block.offset, 0), block.size)
        if there < block.size:
            return Part(block, False, there // self._width(block))
        data = self._data[block.offset : block.offset + block.size]
        if not self._page_right:
            return Part(block, False, block.rows)
        if zlib.crc32(data.data) == block.checksum:
            return Part(block, True, block.rows)
        place = flipped_bit(data, block.checksum)
        if place is None:
            self.problems.append(f"{self.path}: block {block.name!r} is damaged")
            return Part(block, False, block.rows)
        data[place[0]] ^= 1 << place[1]
        row = place[0] // self._width(block)
        certain = block.size <= CERTAIN_BYTES
        self.problems.append(f"{self.path}: block {block.name!r} is damaged, by one flipped bit in row {row}")
        return Part(block, True, block.rows, [] if certain else [row])

    def _summed(self, block: Block) -> Block:
        return replace(block, checksum=zlib.crc32(self._data[block.offset : block.offset + block.size].data))

    @staticmethod
    def _width(block: Block) -> int:
        return max(block.columns, 1) * block.dtype.itemsize


def placed(layout: Layout) -> tuple[list[Block], int]:
    """Blocks one after another, and where the file ends."""
    blocks, end = [], PAGE
    for planned in layout:
        dtype = np.dtype(planned.dtype)
        size = planned.rows * max(planned.columns, 1) * dtype.itemsize
        blocks.append(
            Block(planned.name, dtype, 0, aligned(end), planned.rows, planned.columns, size, planned.optional)
        )
        end = aligned(end) + size
    return blocks, end
