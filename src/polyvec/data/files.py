"""Files of any accepted kind -> their bytes, decompressed, and their lines; the one place where a path is looked at.

The kind follows from the name alone, whatever its case; nothing is guessed from the contents. Knows nothing about documents.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from polyvec.arguments import local_path
from polyvec.errors import InputError

MAX_LINE_BYTES = 256 * 1024 * 1024
STDIN = "-"
_PACKED = (".gz", ".zst")
_LINES = {".jsonl": "json lines", ".ndjson": "json lines", ".csv": "csv", ".tsv": "tsv", ".txt": "text"}
_UTF_16_OR_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

Progress = Callable[[int], None]


def as_path(path: str | os.PathLike[str], expected: str) -> Path:
    """A path that a caller gave, which exists.

    Args:
        path: The path; "-" passes for stdin.
        expected: What it should have been, for the messages.

    Raises:
        InputError: It is empty, no path at all, or nothing that can be seen is there.
    """
    path = local_path("path", path)
    if str(path) == STDIN:
        return path
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL character in the name
        what = "file or folder" if "folder" in expected else "file"
        raise InputError(f"{named(path)}: no such {what}. Expected {expected}.") from error
    except OSError as error:
        raise InputError(f"{named(path)}: cannot be read ({error.strerror}).") from error
    return path


def named(path: str | os.PathLike[str]) -> str:
    """A path as text for messages, whatever bytes its name holds."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def kind_of(path: Path, accepted: dict[str, str], expected: str) -> str:
    """What a file's name says that it is: "json lines", "csv", "tsv", "text", "parquet"; .gz and .zst may follow the first four.

    Args:
        path: The file.
        accepted: Kinds by ending, those that the caller reads.
        expected: What the caller takes, for the message.

    Raises:
        InputError: An ending that the caller does not read.
    """
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    ending = "." + name.rpartition(".")[2] if "." in name else ""
    kind = accepted.get(ending)
    if kind is None or (kind == "parquet" and name != path.name.lower()):
        given = "".join(path.suffixes[-2:]) or path.name
        hint = ""
        if ending == ".json":
            hint = " A .json file is one value: write one object a line, and name the file .jsonl."
        raise InputError(f"{named(path)}: unknown kind of file {given!r}. Expected {expected}.{hint}")
    return kind


def kinds(*endings: str) -> dict[str, str]:
    """Kinds by ending, for `kind_of`."""
    return {ending: _LINES.get(ending, ending.lstrip(".")) for ending in endings}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file or stdin, to be read as bytes; .gz and .zst are decompressed on the way.

    Raises:
        InputError: It cannot be opened, or is a folder, a pipe or a device.
    """
    if str(path) == STDIN:
        yield stdin_bytes()
        return
    check_regular(path)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"{named(path)}: cannot be read ({error.strerror}).") from error
    with raw:
        ending = path.suffix.lower()
        if ending == ".gz":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream  # type: ignore[misc]
        elif ending == ".zst":
            with zstandard().ZstdFile(raw) as unpacked:
                yield io.BufferedReader(unpacked, 1 << 20)
        else:
            yield raw


def stdin_bytes() -> BinaryIO:
    """Stdin, to be read as bytes.

    Raises:
        InputError: It is closed, a folder, or something that only gives text.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("stdin is closed. Give a file, or pipe something in.")
    buffer: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if buffer is None:  # a notebook's, or another program's own
        raise InputError("stdin gives text, not bytes, in this program. Give a file.")
    try:
        is_folder = stat.S_ISDIR(os.fstat(buffer.fileno()).st_mode)
    except OSError:  # a stream in memory has no file
        is_folder = False
    if is_folder:
        raise InputError("stdin is a folder. Give a file, or pipe something in.")
    return buffer


def check_regular(path: Path) -> None:
    """Raise InputError for what is no regular file: a folder, a pipe, a device."""
    as_path(path, "a file")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{named(path)}: is a folder. Expected a file.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{named(path)}: is a pipe or a device. Expected a file, or - for stdin.")


def lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a stream, each with its end.

    Raises:
        InputError: Damaged compression and for endless lines.
    """
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
        except _decompression_errors() as error:
            raise InputError(
                f"{name}:{number}: cannot be decompressed ({error}). The file is damaged or cut short."
            ) from error
        except OSError as error:  # gzip.BadGzipFile among them
            what = "cannot be decompressed" if isinstance(error, gzip.BadGzipFile) else "cannot be read"
            raise InputError(f"{name}:{number}: {what} ({error}). The file is damaged or cut short.") from error
        except ValueError as error:  # a stream that somebody closed
            raise InputError(f"{name}:{number}: cannot be read ({error}).") from error
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{name}:{number}: a line of over {MAX_LINE_BYTES // 2**20} MB. Expected a record a line.")
        yield line


def decoded(line: bytes, where: str, *, first: bool) -> str:
    """UTF-8 to text; a byte order mark is taken off the first line.

    Raises:
        InputError: The message has the byte that is broken.
    """
    if first and line.startswith(_UTF_16_OR_32):
        raise InputError(f"{where}: UTF-16 or UTF-32, not UTF-8. Convert the file to UTF-8.")
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: broken UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x}). Convert the file to UTF-8."
        ) from error
    if "\0" in text:
        raise InputError(f"{where}: a NUL byte, which no text holds. Is it UTF-16, or not a text file?")
    return text


def text_lines(stream: BinaryIO, name: str, progress: Progress | None = None) -> Iterator[tuple[str, str]]:
    """Lines without their ends, and their places "name:line"; empty lines come too.

    Lines end in \\n or \\r\\n. Raises InputError for broken UTF-8, NUL bytes, and a \\r in the middle of a line.
    """
    for number, line in enumerate(lines(stream, name), start=1):
        if progress is not None:
            progress(len(line))
        where = f"{name}:{number}"
        text = decoded(line, where, first=number == 1).removesuffix("\n").removesuffix("\r")
        if "\r" in text:
            raise InputError(f"{where}: a carriage return (\\r) within the line. End lines with \\n or \\r\\n.")
        yield text, where


def zstandard() -> Any:
    """The module that reads and writes zstandard files: of Python itself, or of the package that brings it to older ones."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _decompression_errors() -> tuple[type[Exception], ...]:
    """What damaged files raise. zstandard is not loaded where no file needed it."""
    module = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
    return (EOFError, zlib.error) if module is None else (EOFError, zlib.error, module.ZstdError)
