"""The block file that segments and codecs are stored in: one page of header, then named, aligned, checksummed arrays.

docs/format.md is the specification. Writing streams; reading maps the file and touches only what is used. Knows nothing
about what the arrays mean.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError, StorageError

MAGIC = b"polyvec\n"
FORMAT_VERSION = 1
VECTORS, CODES, CODEC = "vectors", "codes", "codec"  # the kinds of files
PAGE = 4096  # header and block table; the first block begins here
ALIGNMENT = 64
_DEVELOPMENT_MAGIC = b"POLYVEC\n"  # of files from before version 1
_HEADER = struct.Struct("<8sIIQII16s")  # magic, version, number of blocks, file size, checksum of the page, 0, kind
_ENTRY = struct.Struct("<16s4sIQQQQI")  # name, dtype, checksum, offset, rows, columns, bytes, flags
_CHECKSUM_AT = 24
_TABLE_AT, _ENTRY_BYTES = 64, 64
_MAX_BLOCKS = (PAGE - _TABLE_AT) // _ENTRY_BYTES
_OPTIONAL = 1  # the flag of a block that a reader which does not know it may skip
_DTYPES = {
    np.dtype(kind).str.encode(): np.dtype(kind)
    for kind in ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
}
_CHUNK = 1 << 22  # bytes read at once to check a block
_WAITING_BYTES = 1 << 16  # smaller writes are put together up to this size
CHECKED_ON_OPENING = 1 << 26  # bytes: larger blocks are checked by `verify` alone


@dataclass(frozen=True)
class Block:
    """One array of a file.

    Attributes:
        name: At most 16 ASCII characters.
        dtype: Little-endian.
        checksum: CRC-32 of its bytes.
        offset: Where it begins in the file, in bytes.
        rows: Its length.
        columns: 0 for a one-dimensional array.
        size: In bytes.
        optional: Whether a reader that does not know the name may skip it.
    """

    name: str
    dtype: np.dtype[Any]
    checksum: int
    offset: int
    rows: int
    columns: int
    size: int
    optional: bool = False


def aligned(offset: int) -> int:
    """Where the next block begins after one that ends at `offset`."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def pack_page(kind: str, blocks: Sequence[Block], size: int) -> tuple[bytearray, int]:
    """The first page of a file of `size` bytes with these blocks, and its checksum."""
    page = bytearray(PAGE)
    for i, block in enumerate(blocks):
        _ENTRY.pack_into(
            page, _TABLE_AT + _ENTRY_BYTES * i, block.name.encode(), block.dtype.str.encode(), block.checksum,
            block.offset, block.rows, block.columns, block.size, _OPTIONAL if block.optional else 0,
        )  # fmt: skip
    _HEADER.pack_into(page, 0, MAGIC, FORMAT_VERSION, len(blocks), size, 0, 0, kind.encode())
    checksum = zlib.crc32(page)
    struct.pack_into("<I", page, _CHECKSUM_AT, checksum)
    return page, checksum


def set_page_checksum(page: bytearray, checksum: int) -> int:
    """Put a checksum into a page. Returns the one that fits the page's content."""
    struct.pack_into("<I", page, _CHECKSUM_AT, 0)
    actual = zlib.crc32(page)
    struct.pack_into("<I", page, _CHECKSUM_AT, checksum)
    return actual


def read_table(path: Path, page: bytearray, size: int) -> Iterator[Block]:
    """The blocks of a file of `size` bytes, as its page lists them.

    Raises:
        IndexCorruptError: A block lies outside the file or does not fit its own shape.
        StorageError: A block has flags that this version does not know.
    """
    count = _HEADER.unpack_from(page)[2]
    if count > _MAX_BLOCKS:
        raise IndexCorruptError(f"{path} is damaged: it claims {count} blocks.")
    for i in range(count):
        at = _TABLE_AT + _ENTRY_BYTES * i
        name, kind, checksum, offset, rows, columns, length, flags = _ENTRY.unpack_from(page, at)
        dtype = _DTYPES.get(kind.rstrip(b"\0"))
        if dtype is None:
            raise IndexCorruptError(f"{path} is damaged: block {i} has dtype {bytes(kind)!r}.")
        if offset % ALIGNMENT or offset < PAGE or offset + length > size:
            raise IndexCorruptError(f"{path} is damaged: block {i} lies outside the file.")
        if length != rows * max(columns, 1) * dtype.itemsize:
            raise IndexCorruptError(f"{path} is damaged: the shape of block {i} does not fit its {length} bytes.")
        shown = _text(name)
        if flags not in (0, _OPTIONAL):
            raise StorageError(f"{path} needs a newer polyvec: block {shown!r} has flags {flags:#x}. Upgrade polyvec.")
        yield Block(shown, dtype, checksum, offset, rows, columns, length, flags == _OPTIONAL)


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii", "replace")


class BlockWriter:
    """Writes blocks one after another under a temporary name; `finish` makes the file durable and gives it its name."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self._kind = path, kind
        self._process = os.getpid()  # whose file this is: a forked child neither writes to it nor removes it
        self._temporary = path.with_name(f"{path.name}.{self._process}.tmp")
        self._blocks: list[Block] = []
        self._open: Block | None = None
        self._size, self._waiting = 0, bytearray()  # bytes so far, and the last of them that are not in the file yet
        try:
            # unbuffered: a buffer of Python's would be written by a forked child when it ends
            self._file = self._temporary.open("wb", buffering=0)
        except OSError as error:
            raise StorageError(f"Cannot write {self._temporary}: {error.strerror}.") from error
        self._write(bytes(PAGE))

    def write(self, name: str, array: npt.NDArray[Any], *, optional: bool = False) -> None:
        """Write a whole block of one or two dimensions."""
        self.begin(name, array.dtype, array.shape[1] if array.ndim == 2 else 0, optional=optional)
        self.append(array)

    def begin(self, name: str, dtype: npt.DTypeLike, columns: int = 0, *, optional: bool = False) -> None:
        """Start a block of `columns` columns (0: one-dimensional); `append` then adds rows to it.

        Args:
            name: At most 16 ASCII characters.
            dtype: One that the format has; it is stored little-endian.
            columns: 0 for a one-dimensional block.
            optional: Whether readers that do not know the block may skip it. It may then hold only what can be made again
                from the other blocks.
        """
        self._end()
        kind = np.dtype(dtype).newbyteorder("<")
        if not name.isascii() or not 0 < len(name) <= 16 or kind.str.encode() not in _DTYPES:
            raise ValueError(f"block {name!r} of {kind}: the format has no such name or dtype")
        offset = aligned(self._size)
        self._write(bytes(offset - self._size))
        self._open = Block(name, kind, 0, offset, 0, columns, 0, optional)

    def append(self, array: npt.NDArray[Any]) -> None:
        """Add rows to the open block.

        Args:
            array: (n,) or (n, columns), of the block's dtype.
        """
        block = self._open
        if block is None or array.shape[1:] != ((block.columns,) if block.columns else ()):
            raise ValueError(f"rows of shape {array.shape} do not fit the open block {block}")
        data = np.ascontiguousarray(array, dtype=block.dtype).reshape(-1).view(np.uint8).data
        self._write(data)
        self._open = replace(
            block,
            checksum=zlib.crc32(data, block.checksum),
            rows=block.rows + len(array),
            size=block.size + len(data),
        )

    def finish(self) -> tuple[int, str]:
        """Write the header, sync and rename. Returns the file's size in bytes and its checksum, in hex."""
        self._end()
        try:
            size = self._size
            page, checksum = pack_page(self._kind, self._blocks, size)
            if len(self._waiting) == size:  # a small file is written at once
                self._waiting[:PAGE] = page
                self._empty_waiting()
            else:
                self._empty_waiting()
                self._file.seek(0)
                self._put(page)
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

    def _write(self, data: bytes | memoryview) -> None:
        """Add bytes to the file; few of them wait for more."""
        self._size += len(data)
        try:
            if len(data) + len(self._waiting) >= _WAITING_BYTES:
                self._empty_waiting()
            if len(data) >= _WAITING_BYTES:
                self._put(data)
            else:
                self._waiting += data
        except OSError as error:
            raise StorageError(f"Cannot write {self.path}: {error.strerror}. Free some space and try again.") from error

    def _empty_waiting(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        self._put(waiting)

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:  # the system may take it in parts
            rest = rest[self._file.write(rest) :]

    def _end(self) -> None:
        if self._open is not None:
            if len(self._blocks) == _MAX_BLOCKS:
                raise ValueError("too many blocks")
            self._blocks.append(self._open)
            self._open = None


def missing(path: Path) -> IndexCorruptError:
    """The error for a file that a catalog lists and that is not there."""
    return IndexCorruptError(f"{path} is missing, though the catalog lists it. Restore it, or build the index again.")


class BlockFile:
    """A block file mapped for reading; its arrays are views of the map. Safe to share between threads.

    Opening checks the header, its checksum, every bound, and the checksums of known blocks up to CHECKED_ON_OPENING bytes;
    `verify` reads all blocks.

    Args:
        path: Of the file.
        kind: What the file has to be.
        known: Names of the blocks that the caller knows. Others are skipped where they are optional.

    Raises:
        IndexCorruptError: The file is missing, damaged, or of another kind.
        StorageError: The file needs another version of polyvec.
    """

    def __init__(self, path: Path, kind: str, known: Collection[str]) -> None:
        self.path = path
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size < PAGE:
                raise IndexCorruptError(f"{path} is damaged: {size} bytes, shorter than its header.")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        page = bytearray(self._map[:PAGE])
        magic, version, _, recorded_size, self.checksum, _, stored_kind = _HEADER.unpack_from(page)
        _check_version(path, magic, version)
        if set_page_checksum(page, self.checksum) != self.checksum:
            raise IndexCorruptError(f"{path} is damaged: the checksum of its header is wrong.")
        if recorded_size != size:
            raise IndexCorruptError(f"{path} is damaged: {size} bytes, expected {recorded_size}.")
        if _text(stored_kind) != kind:
            raise IndexCorruptError(f"{path} is a file of kind {_text(stored_kind)!r}, expected {kind!r}.")
        self._all = list(read_table(path, page, size))
        if len({block.name for block in self._all}) < len(self._all):
            raise IndexCorruptError(f"{path} is damaged: two of its blocks have the same name.")
        self.blocks = {block.name: block for block in self._all if block.name in known}
        for block in self._all:
            if block.name not in known and not block.optional:
                raise StorageError(
                    f"{path} needs a newer polyvec: it has a block {block.name!r} that readers may not skip. Upgrade polyvec."
                )
        if problems := _wrong_checksums(path, self._map, self.blocks.values(), CHECKED_ON_OPENING):
            raise IndexCorruptError(problems[0] + ". Restore the file, or build the index again.")

    def has(self, name: str) -> bool:
        """Whether the file holds this block."""
        return name in self.blocks

    def array(self, name: str, dtype: npt.DTypeLike, columns: int = 0) -> npt.NDArray[Any]:
        """The block as a read-only array, mapped. Raises IndexCorruptError where it is missing or of another kind."""
        block = self.blocks.get(name)
        if block is None or block.dtype != np.dtype(dtype) or block.columns != columns:
            raise IndexCorruptError(f"{self.path} is damaged: block {name!r} is missing or not what it should be.")
        flat = np.frombuffer(self._map, dtype=block.dtype, count=block.rows * max(columns, 1), offset=block.offset)
        return flat.reshape(block.rows, columns) if columns else flat

    def verify(self) -> list[str]:
        """Read every block against its checksum. Returns the problems found; empty if there are none."""
        return _wrong_checksums(self.path, self._map, self._all)


def _check_version(path: Path, magic: bytes, version: int) -> None:
    if magic == _DEVELOPMENT_MAGIC:
        raise StorageError(
            f"{path} was written by a development version of polyvec, whose files are not read any more. Build the index again."
        )
    if magic != MAGIC:
        raise IndexCorruptError(f"{path} is not a polyvec file: it begins with {magic!r}.")
    if version > FORMAT_VERSION:
        raise StorageError(
            f"{path} was written by a newer polyvec (format {version}, this one reads {FORMAT_VERSION}). Upgrade polyvec."
        )
    if version < FORMAT_VERSION:
        raise IndexCorruptError(f"{path} is damaged: there is no format {version}.")


def _opened(path: Path) -> BinaryIO:
    """A file that a catalog lists, unless a writer has removed it since: then the newer state lists others."""
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise missing(path) from error


def _wrong_checksums(path: Path, data: mmap.mmap, blocks: Iterable[Block], largest: int | None = None) -> list[str]:
    """One sentence for each block, of at most `largest` bytes, whose checksum is wrong."""
    problems = []
    for block in blocks:
        if largest is not None and block.size > largest:
            continue
        checksum = 0
        for start in range(block.offset, block.offset + block.size, _CHUNK):
            checksum = zlib.crc32(data[start : min(start + _CHUNK, block.offset + block.size)], checksum)
        if checksum != block.checksum:
            problems.append(
                f"{path}: block {block.name!r} is damaged (checksum {checksum:08x}, expected {block.checksum:08x})"
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
