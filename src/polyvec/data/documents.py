"""Files, folders and streams of any accepted kind -> documents, one at a time.

Knows nothing about models or indexes. Every refusal names the place: file, line, field.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from polyvec.arguments import function, local_path
from polyvec.data.document import Document, checked_document, document_of
from polyvec.errors import InputError, MissingExtraError

KINDS = ".jsonl .jsonl.gz .jsonl.zst .csv .tsv .parquet, a folder of .txt and .md files, a BEIR folder, or - for stdin"
_MAX_LINE_BYTES = 256 * 1024 * 1024

Progress = Callable[[int], None]


def read_documents(path: str | Path, *, progress: Progress | None = None) -> Iterator[Document]:
    """Stream documents from a file, folder or stdin ("-"); the kind follows from the name.

    progress: called with the number of bytes just read. Memory: one document, and the set of ids seen.
    Raises InputError naming file and line for an unknown kind, a broken file, a missing id or text, an id seen before.
    """
    function("progress", progress)
    path = local_path("path", path)
    if str(path) != "-" and not path.exists():
        raise InputError(f"{path}: no such file or folder. Expected documents as {KINDS}.")
    return _distinct(path, progress or (lambda n: None))


def _distinct(path: Path, progress: Progress) -> Iterator[Document]:
    seen: set[str] = set()
    for document, where in _read(path, progress):
        if document.id in seen:
            raise InputError(
                f"{where}: document id {document.id!r} comes twice. Ids name one document each: make them unique."
            )
        seen.add(document.id)
        yield document
    if not seen:
        raise InputError(f"{path}: no documents in it. Expected at least one, as {KINDS}.")


def _read(path: Path, progress: Progress) -> Iterator[tuple[Document, str]]:
    name = path.name.lower()
    if str(path) == "-":
        yield from _rows_as_documents(json_lines(sys.stdin.buffer, "stdin", progress))
    elif path.is_dir():
        corpus = next(
            (path / f"corpus.jsonl{end}" for end in ("", ".gz", ".zst") if (path / f"corpus.jsonl{end}").exists()), None
        )
        yield from _read(corpus, progress) if corpus is not None else _read_folder(path, progress)
    elif name.endswith((".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")):
        with open_bytes(path) as stream:
            yield from _rows_as_documents(json_lines(stream, str(path), progress))
    elif name.endswith((".csv", ".tsv")):
        yield from _rows_as_documents(_table_rows(path, "\t" if name.endswith(".tsv") else ",", progress))
    elif name.endswith(".parquet"):
        yield from _rows_as_documents(_parquet_rows(path))
    else:
        raise InputError(f"{path}: unknown kind of file {path.suffix or name!r}. Expected {KINDS}.")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressing .gz and .zst on the way."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstandard(path.open("rb")), 1 << 20)
    return path.open("rb")


class _Zstandard(io.RawIOBase):
    """Decompresses frame after frame, and refuses an end in the middle of one, which zstandard's own reader lets pass."""

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw = raw
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new()
        self._ready = memoryview(b"")
        self._inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not len(self._ready):
            data = (self._frame.unused_data if self._frame.eof else b"") or self._raw.read(1 << 17)
            if not data:
                if self._inside:
                    raise EOFError("the last frame is not complete")
                return 0
            if self._frame.eof:
                self._frame = self._new()
            self._ready = memoryview(self._frame.decompress(data))
            self._inside = not self._frame.eof
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def json_lines(stream: BinaryIO, name: str, progress: Progress) -> Iterator[tuple[dict[str, Any], str]]:
    """Stream the objects of JSON lines with their place, "name:line"; blank lines are passed over."""
    for number, line in enumerate(_lines(stream, name), start=1):
        progress(len(line))
        where = f"{name}:{number}"
        text = decoded(line, where)
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise InputError(f"{where}: not valid JSON ({error}). Expected one object a line.") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: got a JSON {type(row).__name__}, expected an object with id and text.")
        yield row, where


def decoded(line: bytes, where: str) -> str:
    """UTF-8 to text, without a byte order mark. Raises InputError with the byte offset of what is broken."""
    try:
        return line.decode("utf-8-sig" if where.endswith(":1") else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: broken UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x}). Convert the file to UTF-8."
        ) from error


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(_MAX_LINE_BYTES + 1)
        except Exception as error:  # gzip, zlib and zstandard each have an error class of their own
            raise InputError(
                f"{name}:{number}: cannot be decompressed ({error}). The file is damaged or cut short."
            ) from error
        if not line:
            return
        if len(line) > _MAX_LINE_BYTES:
            raise InputError(
                f"{name}:{number}: a line of over {_MAX_LINE_BYTES // 2**20} MB. Expected one document a line."
            )
        yield line


def _rows_as_documents(rows: Iterable[tuple[Mapping[str, Any], str]]) -> Iterator[tuple[Document, str]]:
    for row, where in rows:
        yield document_of(row, where), where


def _table_rows(path: Path, delimiter: str, progress: Progress) -> Iterator[tuple[dict[str, Any], str]]:
    csv.field_size_limit(_MAX_LINE_BYTES)
    with path.open("rb") as raw:
        try:
            reader = csv.DictReader(
                io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), delimiter=delimiter, strict=True
            )
            columns = reader.fieldnames or []
            if columns and ("text" not in columns or not {"id", "_id"} & set(columns)):
                raise InputError(f"{path}:1: columns {', '.join(columns)}; expected a header with id and text.")
            at = 0
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise InputError(
                        f"{where}: another number of fields than the header's {len(columns)}. Quote fields that hold {delimiter!r}."
                    )
                now = raw.tell()
                progress(now - at)
                at = now
                yield {key: value for key, value in row.items() if value != ""}, where
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: broken UTF-8 ({error.reason} at byte {error.start} of a block). Convert the file to UTF-8."
            ) from error
        except csv.Error as error:
            raise InputError(f"{path}: not a valid table ({error}).") from error


def _parquet_rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading parquet needs pyarrow. Run: pip install 'polyvec[parquet]'"
        ) from error
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                # an empty cell is a field that this row does not have
                yield {key: value for key, value in row.items() if value is not None}, f"{path}:row {number}"
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file ({error}).") from error


def _read_folder(folder: Path, progress: Progress) -> Iterator[tuple[Document, str]]:
    """Each .txt and .md file below a folder: its id is the relative path, its title the first heading or the file's name."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".txt", ".md") and p.is_file()):
        data = path.read_bytes()
        progress(len(data))
        text = decoded(data, f"{path}:1")
        heading = next((line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("# ")), "")
        title = heading if path.suffix.lower() == ".md" and heading else path.stem
        yield checked_document(path.relative_to(folder).as_posix(), text, {"title": title}, str(path)), str(path)
