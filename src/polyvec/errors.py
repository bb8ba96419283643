"""Every error that polyvec raises on purpose.

    PolyvecError
    ├── InputError         what was given cannot be used (text, vectors, options, files)
    │   └── FilterError    a metadata filter that does not parse
    ├── ModelError         a checkpoint that cannot be loaded as what it claims to be
    ├── StorageError        an index that cannot be opened, read or written
    │   ├── IndexMissingError     there is no index at this path
    │   ├── IndexCorruptError     a file is damaged; the message names it
    │   ├── IndexIncompleteError  building was interrupted; the same command resumes it
    │   ├── IndexLockedError      another process is writing
    │   ├── IndexReadOnlyError    it was pulled from where it is published, and is only read
    │   ├── ModelMismatchError    made by another model than the one given
    │   ├── PublishConflictError  somebody else published meanwhile; the same call publishes on top
    │   ├── ShardsMissingError    no machine answers for some shards of a collection on a cluster
    │   └── ServerError           a server that cannot be reached, refuses, or fails
    └── MissingExtraError  an optional package is not installed; the message has the pip command

`InputError` is a `ValueError` too, so callers who check arguments the usual way catch it.
"""

from __future__ import annotations

import unicodedata

__all__ = [
    "FilterError",
    "IndexCorruptError",
    "IndexIncompleteError",
    "IndexLockedError",
    "IndexMissingError",
    "IndexReadOnlyError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelMismatchError",
    "PolyvecError",
    "PublishConflictError",
    "ServerError",
    "ShardsMissingError",
    "StorageError",
]


_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class PolyvecError(Exception):
    """Base of every deliberate polyvec error: one plain sentence, the value, and what to do next.

    The message is one line, whatever the paths, ids and values in it hold: line breaks, controls, marks of direction and halves
    of surrogate pairs are escaped, as in \\n or \\u2028.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return text if text.isprintable() else "".join(_escaped(c) if _breaks_lines(c) else c for c in text)


def _breaks_lines(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(char) in _DIRECTIONS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


class InputError(PolyvecError, ValueError):
    """What was given cannot be used."""


class FilterError(InputError):
    """A metadata filter that does not parse."""


class ModelError(PolyvecError):
    """A checkpoint that cannot be loaded as what it claims to be."""


class StorageError(PolyvecError):
    """An index that cannot be opened, read or written."""


class IndexMissingError(StorageError):
    """There is no index at this path."""


class IndexCorruptError(StorageError):
    """A file of the index is damaged."""


class IndexIncompleteError(StorageError):
    """Building was interrupted; the same command resumes it."""


class IndexLockedError(StorageError):
    """Another process is writing to this index."""


class IndexReadOnlyError(StorageError):
    """The index was pulled from where it is published, and is only read."""


class ModelMismatchError(StorageError):
    """The index was made by another model than the one given."""


class PublishConflictError(StorageError):
    """Somebody else published at this place meanwhile."""


class ShardsMissingError(StorageError):
    """No machine answers for some shards of a collection on a cluster. shards: their names."""

    def __init__(self, message: str, shards: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.shards = shards


class ServerError(StorageError):
    """A server that cannot be reached, refuses, or fails.

    status: of the HTTP answer; None where none came · request_id: what the server's log calls the request.
    """

    def __init__(self, message: str, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.status, self.request_id = status, request_id


class MissingExtraError(PolyvecError, ImportError):
    """An optional package is not installed."""
