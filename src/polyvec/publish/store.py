"""A place in an object store, named by a URL: objects listed, read, written whole, and created only where none is there.

Every request passes `_request`, which turns the errors of obstore into ours, one line each. Knows nothing about indexes.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from polyvec.arguments import local_path, shown
from polyvec.errors import InputError, MissingExtraError, StorageError
from polyvec.index.format import sync_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

_BUCKETS = ("s3", "gs", "az")
_EXPECTED = "expected s3://bucket/name, gs://bucket/name, az://container/name, file:///folder or a folder"
_PART = 8 << 20  # bytes of a part of a large upload, unless there would be too many of them
_MOST_PARTS = 9_000
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_CLIENT: Any = {"connect_timeout": "10s", "timeout": "5m"}  # of one request; a part has to be through by then
_PLAIN_HTTP = (
    "AWS_ALLOW_HTTP",
    "GOOGLE_ALLOW_HTTP",
    "AZURE_ALLOW_HTTP",
)  # which client options would hide from obstore
_CLOCK, _OPEN = "clock", "open it"
# How S3, Azure and Google's token server say so.
_CLOCK_IS_OFF = re.compile("RequestTimeTooSkewed|RequestExpired|date header .{0,40}too old|reasonable timeframe")


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it: its name below the URL, its size in bytes, and when it was written last."""

    name: str
    size_bytes: int
    modified: datetime


class ObjectMissingError(StorageError):
    """There is no object of this name."""


class ObjectExistsError(StorageError):
    """An object of this name is there already."""


class Store:
    """What lies below one URL.

    Args:
        url: Of a bucket and a name in it, or a folder of this machine.
        make: Whether a folder is made where it is missing.
        bucket: Whether a bucket alone will do, without a name in it: to read what others put there.

    Raises:
        InputError: The URL is none of those that are known.
        MissingExtraError: obstore is not installed.
        StorageError: The folder is missing, or settings in the environment do not fit.
    """

    def __init__(self, url: str | os.PathLike[str], *, make: bool = False, bucket: bool = False) -> None:
        self.url, self._folder = parsed_url(url, bucket=bucket)
        self._store: ObjectStore = self._opened(make)

    def listed(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix`, a folder's name with its slash."""
        import obstore

        def found() -> list[Stored]:
            return [
                Stored(one["path"], one["size"], one["last_modified"])
                for page in obstore.list(self._store, prefix)
                for one in page
            ]

        return self._request(f"list {prefix}", found)

    def names(self) -> list[str]:
        """Names at the top: objects and folders."""
        import obstore

        found = self._request("list", lambda: obstore.list_with_delimiter(self._store))
        return sorted([*found["common_prefixes"], *(one["path"] for one in found["objects"])])

    def found(self, name: str) -> Stored | None:
        """One object as a listing shows it; None where there is none."""
        import obstore

        with contextlib.suppress(ObjectMissingError):
            one = self._request(f"read {name}", lambda: obstore.head(self._store, name))
            return Stored(one["path"], one["size"], one["last_modified"])
        return None

    def read(self, name: str) -> bytes:
        """A whole object. Raises ObjectMissingError."""
        import obstore

        return self._request(f"read {name}", lambda: bytes(obstore.get(self._store, name).bytes()))

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of an object, as (begin, end) in bytes. Raises ObjectMissingError."""
        import obstore

        starts, ends = [begin for begin, _ in ranges], [end for _, end in ranges]

        def found() -> list[bytes]:
            return [bytes(part) for part in obstore.get_ranges(self._store, name, starts=starts, ends=ends, coalesce=0)]

        return self._request(f"read {name}", found)

    def write(self, name: str, content: IO[bytes], size_bytes: int) -> None:
        """Write an object, which appears when it is whole; one of that name is replaced."""
        import obstore

        part = max(_PART, -(-size_bytes // _MOST_PARTS))
        self._request(
            f"write {name}", lambda: obstore.put(self._store, name, content, chunk_size=part, max_concurrency=6)
        )
        self._settle(name)

    def create(self, name: str, content: bytes) -> None:
        """Write a small object where none of that name is there. Raises ObjectExistsError: of several callers, one succeeds."""
        import obstore

        self._request(f"write {name}", lambda: obstore.put(self._store, name, content, mode="create"))
        self._settle(name)

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone already is no error."""
        import obstore

        with contextlib.suppress(ObjectMissingError):
            self._request(f"delete {name}", lambda: obstore.delete(self._store, name))

    def now(self) -> datetime:
        """The store's own clock, by which it dates objects; this machine's may be off. Writes a small object."""
        import obstore

        self._request(f"write {_CLOCK}", lambda: obstore.put(self._store, _CLOCK, b"polyvec\n"))
        return self._request(f"read {_CLOCK}", lambda: obstore.head(self._store, _CLOCK))["last_modified"]

    def _opened(self, make: bool) -> ObjectStore:
        try:
            from obstore.store import LocalStore, from_url
        except ImportError as error:
            raise MissingExtraError(
                "Publishing and pulling need obstore, which is not installed: pip install 'polyvec[publish]'."
            ) from error
        if self._folder is None:
            plain = any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in _PLAIN_HTTP)
            options: Any = {**_CLIENT, "allow_http": plain}
            return self._request(_OPEN, lambda: from_url(self.url, retry_config=_RETRIES, client_options=options))
        folder = self._folder
        if not make and not folder.is_dir():
            raise StorageError(f"Nothing is published at {self.url}: there is no such folder.")
        return self._request(_OPEN, lambda: LocalStore(folder, mkdir=make))

    def _request(self, what: str, call: Callable[[], T]) -> T:
        from obstore import exceptions

        try:
            return call()
        except FileNotFoundError as error:
            raise ObjectMissingError(f"Cannot {what} at {self.url}: there is no such object or bucket.") from error
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise ObjectExistsError(f"Cannot {what} at {self.url}: it is there already.") from error
        except (exceptions.BaseError, OSError, ValueError) as error:
            refused = isinstance(
                error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError)
            ) or re.search("403 Forbidden|401 Unauthorized", str(error))  # listings raise one kind of error for all
            if refused and _CLOCK_IS_OFF.search(str(error)):
                raise StorageError(
                    f"Cannot {what} at {self.url}: this machine's clock is off by minutes, and the store refuses what it signs. "
                    "Set the clock."
                ) from error
            if refused:
                raise StorageError(
                    f"Cannot {what} at {self.url}: access is refused. Check the credentials, and what they may do there."
                ) from error
            advice = (
                "Check the environment."
                if what == _OPEN
                else "What is there already stays; the same call goes on with it."
            )
            raise StorageError(f"Cannot {what} at {self.url}: {_reason(error)} {advice}") from error

    def _settle(self, name: str) -> None:
        """Make an object in a folder durable; object stores do so before they answer."""
        if self._folder is not None:
            path = self._folder / name
            try:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                sync_folder(path.parent)
            except OSError as error:
                raise StorageError(f"Cannot write {path}: {error.strerror}.") from error


def parsed_url(url: str | os.PathLike[str], *, bucket: bool = False) -> tuple[str, Path | None]:
    """A URL in one spelling, and the folder that it names where it is one of this machine.

    Args:
        url: As a caller gave it.
        bucket: Whether a bucket alone will do, without a name in it.

    Raises:
        InputError: It is none of those that are known, or holds credentials, which would be stored with the index.
    """
    if not isinstance(url, str) or "://" not in url:
        folder = Path(os.path.abspath(local_path("url", url)))
        return str(folder), folder
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"url={shown(url)}: {error}; {_EXPECTED}.") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"url={shown(parts.scheme + '://...')}: it holds credentials, a query or a fragment. Name the place alone, and give "
            "credentials in the environment."
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InputError(f"url={shown(url)}: {_EXPECTED}.")
        place = unquote(parts.path)
        folder = Path(os.path.abspath(local_path("url", place.lstrip("/") if sys.platform == "win32" else place)))
        return str(folder), folder
    path = re.sub("/+", "/", parts.path).strip("/")
    if parts.scheme not in _BUCKETS or not parts.netloc or not (path or bucket) or not url.isprintable():
        raise InputError(f"url={shown(url)}: {_EXPECTED}.")
    if any(part in (".", "..") for part in path.split("/")):
        raise InputError(f"url={shown(url)}: a name in a bucket has no '.' or '..' in its path.")
    return f"{parts.scheme}://{parts.netloc}/{path}".rstrip("/"), None


def _reason(error: Exception) -> str:
    """What obstore says, without its details for developers."""
    text = " ".join(str(error).split("Debug source:")[0].split())
    if re.search("NoSuchBucket|ContainerNotFound", text):
        return "there is no such bucket."
    text = re.sub(
        r"^Generic \S+ error: |Error performing \w+ request: |<[^<>]*>", " ", text
    )  # servers answer with pages
    return (" ".join(text.split())[:300] or type(error).__name__).rstrip(".") + "."
