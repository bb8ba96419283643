"""The block file that segments are made of: a page of header, then named, aligned, checksummed arrays.

docs/format.md is the specification. Writing streams; reading maps the file and touches only what is used. Knows nothing
about what the arrays mean.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError, StorageError

MAGIC = b"POLYVEC\n"
FORMAT_VERSION = 2  # the newest that is read
PAGE = 4096  # header and block table; the first block begins here
ALIGNMENT = 64
_HEADER = struct.Struct("<8sIIQI")  # magic, version, number of blocks, file size, checksum of the page
_ENTRY = struct.Struct("<16s4sIQQQQ")  # name, dtype, checksum, offset, rows, columns, bytes
_ENTRIES_AT = 64
_MAX_BLOCKS = (PAGE - _ENTRIES_AT) // 64
_DTYPES = {
    np.dtype(kind).str.encode(): kind
    for kind in (np.uint8, np.dtype("<u2"), np.dtype("<u4"), np.dtype("<i4"), np.dtype("<i8"), np.dtype("<f2"), np.dtype("<f4"),
                 np.dtype("<f8"))
}  # fmt: skip
_CHUNK = 1 << 22  # bytes read at once to check a block
CHECKED_ON_OPENING = 1 << 26  # bytes: larger blocks are checked by `verify` alone


@dataclass(frozen=True)
class Block:
    """One array of a file: where it is and what it is. columns is 0 for a one-dimensional array."""

    name: str
    dtype: np.dtype[Any]
    checksum: int
    offset: int
    rows: int
    columns: int
    size: int


class BlockWriter:
    """Writes blocks one after another under a temporary name; `finish` makes the file durable and gives it its name.

    version: the lowest that readers of the file must know.
    """

    def __init__(self, path: Path, version: int = 1) -> None:
        self.path, self._version = path, version
        self._process = os.getpid()  # whose file this is: a forked child neither writes to it nor removes it
        self._temporary = path.with_name(f"{path.name}.{self._process}.tmp")
        self._blocks: list[Block] = []
        self._open: Block | None = None
        try:
            self._file = self._temporary.open(
                "wb", buffering=0
            )  # nothing is left in memory that a forked child could write
            self._write(bytes(PAGE))
        except OSError as error:
            raise StorageError(f"Cannot write {self._temporary}: {error.strerror}.") from error

    def begin(self, name: str, dtype: npt.DTypeLike, columns: int = 0) -> None:
        """Start a block of `columns` columns (0: one-dimensional); `append` then adds rows to it."""
        self._end()
        offset = -(-self._file.tell() // ALIGNMENT) * ALIGNMENT
        self._write(bytes(offset - self._file.tell()))
        self._open = Block(name, np.dtype(dtype).newbyteorder("<"), 0, offset, 0, columns, 0)

    def append(self, array: npt.NDArray[Any]) -> None:
        """Add rows to the open block. array: (n,) or (n, columns), of the block's dtype."""
        block = self._open
        if block is None or array.shape[1:] != ((block.columns,) if block.columns else ()):
            raise ValueError(f"rows of shape {array.shape} do not fit the open block {block}")
        data = np.ascontiguousarray(array, dtype=block.dtype).data.cast("B")
        try:
            self._write(data)
        except OSError as error:
            raise StorageError(f"Cannot write {self.path}: {error.strerror}. Free some space and try again.") from error
        self._open = Block(
            block.name,
            block.dtype,
            zlib.crc32(data, block.checksum),
            block.offset,
            block.rows + len(array),
            block.columns,
            block.size + len(data),
        )

    def finish(self) -> tuple[int, str]:
        """Write the header, sync and rename. Returns the file's size in bytes and its checksum, in hex."""
        self._end()
        try:
            size = self._file.tell()
            page = bytearray(PAGE)
            for i, block in enumerate(self._blocks):
                kind = block.dtype.str.encode()
                _ENTRY.pack_into(
                    page,
                    _ENTRIES_AT + 64 * i,
                    block.name.encode(),
                    kind,
                    block.checksum,
                    block.offset,
                    block.rows,
                    block.columns,
                    block.size,
                )
            _HEADER.pack_into(page, 0, MAGIC, self._version, len(self._blocks), size, 0)
            checksum = zlib.crc32(page)
            _HEADER.pack_into(page, 0, MAGIC, self._version, len(self._blocks), size, checksum)
            self._file.seek(0)
            self._write(page)
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            self.abort()
            raise StorageError(f"Cannot write {self.path}: {error.strerror}. Free some space and try again.") from error
        return size, f"{checksum:08x}"

    def abort(self) -> None:
        """Remove what was written; safe to call twice, and in a forked child, where it removes nothing."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        if self._process == os.getpid():
            with contextlib.suppress(OSError):  # the next writer removes it
                self._temporary.unlink(missing_ok=True)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it; the system may take it in parts."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _end(self) -> None:
        if self._open is not None:
            if len(self._blocks) == _MAX_BLOCKS:
                raise ValueError("too many blocks")
            self._blocks.append(self._open)
            self._open = None


class BlockFile:
    """A block file mapped for reading; its arrays are views of the map. Safe to share between threads.

    Opening checks the header, its checksum, every bound, and the checksums of blocks up to CHECKED_ON_OPENING bytes; `verify`
    reads them all. Raises IndexCorruptError for a file
    that is damaged or something else, StorageError for one of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < PAGE:
                raise IndexCorruptError(f"{path} is damaged: {size} bytes, shorter than its header.")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        page = bytearray(self._map[:PAGE])
        magic, version, count, recorded_size, self.checksum = _HEADER.unpack_from(page)
        if magic != MAGIC:
            raise IndexCorruptError(f"{path} is not a polyvec file: it begins with {bytes(magic)!r}.")
        if version > FORMAT_VERSION:
            raise StorageError(
                f"{path} was written by a newer polyvec (format {version}, this one reads up to {FORMAT_VERSION}). Upgrade."
            )
        _HEADER.pack_into(page, 0, magic, version, count, recorded_size, 0)
        if zlib.crc32(page) != self.checksum:
            raise IndexCorruptError(f"{path} is damaged: the checksum of its header is wrong.")
        if recorded_size != size:
            raise IndexCorruptError(f"{path} is damaged: {size} bytes, expected {recorded_size}.")
        if count > _MAX_BLOCKS:
            raise IndexCorruptError(f"{path} is damaged: it claims {count} blocks.")
        self.blocks = {block.name: block for block in self._read_table(page, count, size)}
        if problems := self.verify(CHECKED_ON_OPENING):
            raise IndexCorruptError(problems[0] + ". Restore the file, or build the index again.")

    def _read_table(self, page: bytearray, count: int, size: int) -> Iterator[Block]:
        for i in range(count):
            name, kind, checksum, offset, rows, columns, length = _ENTRY.unpack_from(page, _ENTRIES_AT + 64 * i)
            dtype = _DTYPES.get(kind.rstrip(b"\0"))
            if dtype is None:
                raise IndexCorruptError(f"{self.path} is damaged: block {i} has dtype {bytes(kind)!r}.")
            expected = rows * max(columns, 1) * np.dtype(dtype).itemsize
            if offset % ALIGNMENT or offset < PAGE or length != expected or offset + length > size:
                raise IndexCorruptError(f"{self.path} is damaged: block {i} lies outside the file.")
            yield Block(
                name.rstrip(b"\0").decode("ascii", "replace"), np.dtype(dtype), checksum, offset, rows, columns, length
            )

    def array(self, name: str, dtype: npt.DTypeLike, columns: int = 0) -> npt.NDArray[Any]:
        """The block as a read-only array, mapped. Raises IndexCorruptError where it is missing or of another kind."""
        block = self.blocks.get(name)
        if block is None or block.dtype != np.dtype(dtype) or block.columns != columns:
            raise IndexCorruptError(f"{self.path} is damaged: block {name!r} is missing or not what it should be.")
        flat = np.frombuffer(self._map, dtype=block.dtype, count=block.rows * max(columns, 1), offset=block.offset)
        return flat.reshape(block.rows, columns) if columns else flat

    def verify(self, largest: int | None = None) -> list[str]:
        """Read blocks, or those of at most `largest` bytes, against their checksums; an empty list is good news."""
        problems = []
        for block in self.blocks.values():
            if largest is not None and block.size > largest:
                continue
            checksum = 0
            for start in range(block.offset, block.offset + block.size, _CHUNK):
                checksum = zlib.crc32(self._map[start : min(start + _CHUNK, block.offset + block.size)], checksum)
            if checksum != block.checksum:
                problems.append(
                    f"{self.path}: block {block.name!r} is damaged (checksum {checksum:08x}, expected {block.checksum:08x})"
                )
        return problems


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal in a folder durable."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
