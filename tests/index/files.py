"""Block files taken apart and put together by what docs/format.md says, without polyvec's own reader and writer."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PAGE_TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")


class FileBlock(NamedTuple):
    """A block of a file: where it is, and what it holds."""

    name: str
    offset: int
    size: int
    optional: bool
    array: np.ndarray


def tables_under(heading: str) -> list[list[list[str]]]:
    """The tables of a section of docs/format.md, each as rows of cells, without their heads."""
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE_TEXT, re.DOTALL | re.MULTILINE)
    tables: list[list[list[str]]] = []
    inside = False
    for line in section.splitlines():
        if line.startswith("|"):
            cells = [cell.strip().strip("`") for cell in line.replace(r"\|", "\0").strip("|").split("|")]
            if not inside:
                tables.append([])
            tables[-1].append([cell.replace("\0", "|") for cell in cells])
        inside = line.startswith("|")
    return [table[2:] for table in tables]


def fields_of(content: bytes, heading: str, begin: int = 0) -> dict[str, Any]:
    """The fields at the offsets of a table of the page: numbers where the page says so, bytes otherwise."""
    found: dict[str, Any] = {}
    for offset, size, kind, name, *_ in tables_under(heading)[0]:
        at, length = begin + int(offset), int(size)
        raw = content[at : at + length]
        found[name] = int.from_bytes(raw, "little") if kind in ("u4", "u8") else raw
    return found


def blocks_of(path: Path) -> dict[str, FileBlock]:
    """The blocks of a file, read by the tables of offsets in docs/format.md; every checksum is checked."""
    content = path.read_bytes()
    header = fields_of(content, "The page")
    assert header["magic"] == b"polyvec\n"
    assert header["version"] == 1
    assert header["file size"] == len(content)
    page = bytearray(content[:4096])
    page[24:28] = bytes(4)
    assert header["checksum"] == zlib.crc32(page)
    found: dict[str, FileBlock] = {}
    for i in range(header["blocks"]):
        entry = fields_of(content, "The block table", 64 + 64 * i)
        name, dtype = entry["name"].rstrip(b"\0").decode(), np.dtype(entry["dtype"].rstrip(b"\0").decode())
        data = content[entry["offset"] : entry["offset"] + entry["bytes"]]
        assert entry["offset"] % 64 == 0
        assert zlib.crc32(data) == entry["checksum"], name
        array = np.frombuffer(data, dtype)
        if entry["columns"]:
            array = array.reshape(entry["rows"], entry["columns"])
        assert len(array) == entry["rows"]
        found[name] = FileBlock(name, entry["offset"], entry["bytes"], bool(entry["flags"] & 1), array)
    return found


def kind_of(path: Path) -> str:
    """The kind of a file, as its page has it."""
    kind: bytes = fields_of(path.read_bytes(), "The page")["kind"]
    return kind.rstrip(b"\0").decode()


def with_block(content: bytes, name: str, array: np.ndarray, flags: int) -> bytes:
    """A file with one more block, whatever its flags."""
    count = struct.unpack_from("<I", content, 12)[0]
    start = -(-len(content) // 64) * 64
    changed = bytearray(content) + bytes(start - len(content)) + array.tobytes()
    columns = array.shape[1] if array.ndim == 2 else 0
    struct.pack_into(
        "<16s4sIQQQQI", changed, 64 + 64 * count, name.encode(), array.dtype.str.encode(), zlib.crc32(array.tobytes()),
        start, len(array), columns, array.nbytes, flags,
    )  # fmt: skip
    struct.pack_into("<I", changed, 12, count + 1)
    return sealed(changed)


def sealed(content: bytes | bytearray) -> bytes:
    """A file whose page has its size and a right checksum."""
    changed = bytearray(content)
    struct.pack_into("<QI", changed, 16, len(changed), 0)
    struct.pack_into("<I", changed, 24, zlib.crc32(changed[:4096]))
    return bytes(changed)


def checksum_of(content: bytes) -> str:
    """The checksum of a file's page, as the catalog writes it."""
    return f"{struct.unpack_from('<I', content, 24)[0]:08x}"
