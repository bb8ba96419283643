"""What documents a build is made of: the files below a path or an address, and the documents in each of them.

Files of an object store are brought to this machine one at a time to be read. Knows nothing about Ray.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polyvec.data.document import Document
from polyvec.data.documents import beir_file, placed_documents
from polyvec.data.files import as_path, named
from polyvec.errors import InputError, StorageError
from polyvec.publish.store import Store, parsed_url

_READ = re.compile(r"\.(?:(?:jsonl|ndjson|csv|tsv)(?:\.gz|\.zst)?|parquet)$", re.IGNORECASE)
_CORPUS = re.compile(r"corpus\.jsonl(?:\.gz|\.zst)?")
_KINDS = ".jsonl, .ndjson, .csv or .tsv (each also .gz or .zst) or .parquet"
_EXPECTED = f"a file or folder of documents: {_KINDS}, or on this machine a folder of .txt and .md files"
_CHUNK = 8 << 20  # bytes that one request reads


@dataclass(frozen=True)
class Input:
    """One file of documents.

    Attributes:
        place: The folder or address that it is below.
        name: Of the file, below `place`; empty for a folder of .txt and .md files, which is read as one.
        size_bytes: Of the file.
        modified: When it was written last: where it is another at another time, it is another file.
    """

    place: str
    name: str
    size_bytes: int
    modified: str

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return "://" not in self.place

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return f"{self.place}/{self.name}".rstrip("/")


def inputs_at(docs: str) -> list[Input]:
    """The files of documents at a path or an address, in the order in which their documents are numbered: by name.

    Args:
        docs: A file or folder of this machine, or s3://, gs://, az://, file://.

    Returns:
        At least one.

    Raises:
        InputError: There is nothing to read.
        StorageError: The object store cannot be reached.
        MissingExtraError: obstore is not installed.
    """
    if docs == "-":
        raise InputError("Documents on stdin cannot be read twice, which a build that is resumed has to. Give a file.")
    url, folder = parsed_url(docs, bucket=True) if "://" in docs else (docs, Path(docs))
    return _local(as_path(folder, _EXPECTED).absolute()) if folder is not None else _remote(url)


@contextmanager
def local_file(one: Input) -> Iterator[Path]:
    """The file on this machine: itself, or a copy for the time of the block.

    Args:
        one: The file.

    Yields:
        Its path here.

    Raises:
        StorageError: It cannot be fetched, or is another one by now.
    """
    if one.is_local:
        yield Path(one.place) / one.name
        return
    store = Store(one.place, bucket=True)
    with tempfile.TemporaryDirectory(prefix="polyvec-docs-") as folder:
        path = Path(folder) / Path(one.name).name
        try:
            with path.open("wb") as file:
                for begin in range(0, one.size_bytes, _CHUNK):
                    (part,) = store.read_ranges(one.name, [(begin, min(begin + _CHUNK, one.size_bytes))])
                    file.write(part)
        except OSError as error:
            raise StorageError(
                f"Cannot copy {one.shown} to {path}: {error.strerror}. Check the space there."
            ) from error
        yield path


def documents_of(one: Input, path: Path) -> Iterator[tuple[Document, str]]:
    """The documents of a file.

    Args:
        one: The file.
        path: Of `local_file`.

    Yields:
        Each document and where it stands; the text of those to be left out is empty.

    Raises:
        InputError: The file is broken, or holds what is no document; the message names the file as the user did.
    """
    try:
        for document, where in placed_documents(path, _unseen):
            yield document, where.replace(named(path), one.shown, 1)
    except InputError as error:
        raise InputError(str(error).replace(named(path), one.shown)) from error


def _local(path: Path) -> list[Input]:
    if not path.is_dir():
        return [_local_input(path.parent, path.name)]
    if (corpus := beir_file(path, "corpus")) is not None:
        return [_local_input(path, corpus.name)]
    found = sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if _READ.search(one.name))
    names = [name for name in found if not any(part.startswith(".") for part in name.split("/"))]
    if names := [name for name in names if (path / name).is_file()]:
        return [_local_input(path, name) for name in names]
    return [Input(str(path), "", 0, "")]


def _local_input(folder: Path, name: str) -> Input:
    try:
        status = (folder / name).stat()
    except OSError as error:
        raise InputError(f"{named(folder / name)}: cannot be read ({error.strerror}).") from error
    return Input(str(folder), name, status.st_size, str(status.st_mtime_ns))


def _remote(url: str) -> list[Input]:
    place, _, name = url.rpartition("/")
    if not place.endswith("/"):  # else it is a bucket
        one = Store(place, bucket=True).found(name)
        if one is not None:
            return [Input(place, name, one.size_bytes, one.modified.isoformat())]
    below = sorted(Store(url, bucket=True).listed(""), key=lambda found: found.name)
    if corpora := [one for one in below if _CORPUS.fullmatch(one.name)]:
        below = corpora[:1]
    hidden = re.compile(r"(?:^|/)\.")
    inputs = [
        Input(url, one.name, one.size_bytes, one.modified.isoformat())
        for one in below
        if _READ.search(one.name) and not hidden.search(one.name)
    ]
    if not inputs:
        what = f"{len(below):,} objects, but none of documents" if below else "nothing"
        raise InputError(f"{url}: {what} there. Expected objects named {_KINDS}.")
    return inputs


def _unseen(count: int) -> None:
    pass
