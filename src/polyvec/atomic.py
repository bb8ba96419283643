"""Output files and folders that appear whole or not at all: written aside, synced to disk, renamed.

Every command that writes a result goes through here. A destination is checked before the work that it is for; a command that
fails leaves what was there before as it was. Knows nothing about what is written.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from polyvec.arguments import local_path
from polyvec.errors import InputError, StorageError

STDOUT = "-"
_READ = (
    ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".parquet", ".gz", ".zst", ".toml", ".safetensors",
)  # fmt: skip  # what a file inside an input folder ends in, where it may be one that is read
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def check_destination(
    path: str | os.PathLike[str], *, inputs: Iterable[str | Path | None] = (), new: bool = False
) -> None:
    """Refuse a destination for one file before any work is done for it. "-", stdout, always passes.

    Args:
        path: Where the file shall be.
        inputs: Files and folders that the command reads; None and "-" are passed over.
        new: Whether nothing may be there yet.

    Raises:
        InputError: An empty path, or one that is among the inputs, also by a link.
        StorageError: The folder is missing or not writable, a folder is in the way, or a file where `new` asks for none.
    """
    place = _place(path)
    if str(place) == STDOUT:
        return
    if new and (place.exists() or place.is_symlink()):
        raise StorageError(f"{place} exists already. Choose another name, or delete it first.")
    if place.is_dir():
        raise StorageError(f"Cannot write {place}: it is a folder. Name a file in it.")
    if _is_special(place):
        return
    _check_folder(place)
    if place.exists():
        if not os.access(place, os.W_OK):
            raise StorageError(f"Cannot write {place}: it is read-only.")
        for source in inputs:
            if source is not None and str(source) not in (STDOUT, "") and _reads(Path(source), place):
                raise InputError(f"{place} is an input of this command ({source}). Write to another file.")


def check_destination_folder(folder: str | Path) -> None:
    """Refuse a folder that several files shall be written into, and that is made where it is missing.

    Raises:
        StorageError: It is a file, or it cannot be made or written.
    """
    place = _place(folder)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise StorageError(f"Cannot write {folder}: {place} is not a folder that can be written. Choose another path.")


@contextmanager
def aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write instead of `path`; what is there at the end of the block is synced and takes its place.

    Where the block raises, nothing of it stays. The path to write has the ending of the destination. A link is followed, and
    the file that it names replaced; permissions of an existing file are kept.

    Raises:
        StorageError: The destination cannot be written, or the disk is full.
    """
    check_destination(path)
    place = _place(path).resolve()
    staging = place.with_name(f".writing-{os.getpid()}-{os.urandom(4).hex()}{place.suffix}")
    try:
        with _named_errors(place, staging):
            staging.touch()
            readable = stat.S_IMODE(staging.stat().st_mode)
            yield staging
            staging.chmod(readable)  # some libraries write for the owner alone
            publish(staging, place)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A UTF-8 text file, whole or not at all, with line ends as they are written; "-" is stdout.

    Raises:
        StorageError: The destination cannot be written, or the disk is full.
    """
    if str(path) == STDOUT:
        yield sys.stdout
    elif _is_special(place := _place(path)):  # a pipe or a device takes lines as they come
        with _named_errors(place, place), place.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
    else:
        with aside(path) as staging, staging.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream


def write_text(path: str | Path, text: str) -> None:
    """Write a whole text file.

    Raises:
        StorageError: It cannot be written.
    """
    with written(path) as stream:
        stream.write(text)


def publish(staging: Path, path: Path) -> None:
    """Sync a finished file and rename it to its place, with the permissions of the file that it replaces."""
    _sync(staging)
    if path.exists():
        os.chmod(staging, stat.S_IMODE(path.stat().st_mode))
    os.replace(staging, path)
    _sync(path.parent)


class staged:
    """A new folder that is written beside its place and moved there when it is whole.

    Raises:
        StorageError: Something is there already, or the folder cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = _place(folder)
        self._staging = self._folder.with_name(f".{self._folder.name}.writing-{os.getpid()}")

    def __enter__(self) -> Path:
        check_new_folder(self._folder)
        try:
            self._staging.mkdir(parents=True)
        except OSError as error:
            raise StorageError(f"Cannot write {self._folder}: {error.strerror}. Check the permissions.") from error
        return self._staging

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                readable = stat.S_IMODE(self._staging.stat().st_mode) & 0o666  # as the umask has it for new files
                for path in self._staging.rglob("*"):
                    if path.is_file():
                        path.chmod(
                            stat.S_IMODE(path.stat().st_mode) | readable
                        )  # some libraries write for the owner alone
                        _sync(path)
                os.replace(self._staging, self._folder)
                _sync(self._folder.parent)
        except OSError as error:
            raise StorageError(f"Cannot write {self._folder}: {error.strerror}.") from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)


def check_new_folder(folder: Path) -> None:
    """Raise StorageError where a new folder cannot be: a file, a link to nothing, or a folder with something in it."""
    place = _place(folder)
    check_destination_folder(place.parent)
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken or (folder.is_symlink() and not folder.exists()):
        raise StorageError(f"Cannot write {folder}: something is there. Choose another path, or delete it first.")


def _place(path: str | os.PathLike[str]) -> Path:
    path = local_path("path", path)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def _check_folder(place: Path) -> None:
    folder = place.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"Cannot write {place}: its folder {folder} is missing or not writable.")


def _is_special(place: Path) -> bool:
    """Whether a pipe, a terminal or a device is there, which cannot be replaced."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _reads(source: Path, place: Path) -> bool:
    """Whether an input is this file, or a folder in which this file may be one that is read."""
    try:
        if not source.is_dir():
            return source.samefile(place)
        inside = place.resolve().is_relative_to(source.resolve())
    except OSError:
        return False
    index = (source / "catalog.sqlite").exists()
    return inside and (index or place.name.lower().endswith(_READ))


@contextmanager
def _named_errors(place: Path, staging: Path) -> Iterator[None]:
    """What goes wrong in writing, as a StorageError that names the destination."""
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITING and str(error.filename) not in (str(place), str(staging)):
            raise
        raise StorageError(f"Cannot write {place}: {error.strerror}. Check the space and the permissions.") from error


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems do not sync folders
            raise
    finally:
        os.close(descriptor)
