"""What metadata may be: a dict of plain JSON values that every part of the index gives back as they were.

NumPy numbers become Python's, dates and times become ISO 8601 strings, tuples become lists; None stays None. Anything else that
JSON has no word for is refused, with the path of the value. Limits are below what Python's and SQLite's JSON can take.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np

from polyvec.arguments import shown
from polyvec.data.text import lone_surrogate
from polyvec.errors import InputError

MOST_DEPTH = 100  # of objects and lists inside each other; SQLite reads 1000
MOST_BYTES = 16 * 1024 * 1024  # of one document's metadata, about: characters, and 8 for each value


class _Unfit(Exception):
    """A value that cannot be metadata, and the way to it from the inside out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str | int] = []


def checked_metadata(metadata: Any, where: str, document_id: str) -> dict[str, Any]:
    """A copy of metadata in plain JSON values; None is {}.

    Args:
        where: The place of the document, for the message.

    Raises:
        InputError: The message has the path of the first value that does not fit.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InputError(
            f"{where}: metadata of document {document_id!r} is {shown(metadata)}, expected a dict of fields."
        )
    try:
        return _Copy().object(metadata, 0)
    except _Unfit as error:
        raise InputError(
            f"{where}: metadata{_written(error.path)} of document {document_id!r} is not plain JSON: {error}."
        ) from None


def plain_json(name: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy of an object in plain JSON values.

    Args:
        name: What it is called in a message.

    Raises:
        InputError: The message has the path of the first value that JSON has no word for.
    """
    try:
        return _Copy().object(given, 0)
    except _Unfit as error:
        raise InputError(f"{name}{_written(error.path)} is not plain JSON: {error}.") from None


class _Copy:
    """Copies values, and adds up how large they are."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_BYTES

    def object(self, given: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        """A dict with string keys."""
        self.enter(depth, len(given))
        copy: dict[str, Any] = {}
        for key, value in given.items():
            if type(key) is not str and not isinstance(key, str):
                raise _Unfit(f"key {shown(key)} is {_a(key)}, expected a string")
            name = self.string(key, "key ")
            try:
                copy[name] = self.value(value, depth)
            except _Unfit as error:
                error.path.append(name)
                raise
        if len(copy) != len(given):
            raise _Unfit("two of its keys are the same string")
        return copy

    def list(self, given: Any, depth: int) -> list[Any]:
        """A list of values."""
        self.enter(depth, len(given))
        copy = []
        for place, value in enumerate(given):
            try:
                copy.append(self.value(value, depth))
            except _Unfit as error:
                error.path.append(place)
                raise
        return copy

    def value(self, value: Any, depth: int) -> Any:
        """Any JSON value; the common kinds first."""
        kind = type(value)
        if kind is str:
            return self.string(value, "")
        if kind is int:
            return _whole(value)
        if value is None or kind is bool:
            return value
        if kind is float:
            return _finite(value)
        if kind is dict:
            return self.object(value, depth + 1)
        if kind is list:
            return self.list(value, depth + 1)
        return self.other(value, depth)

    def other(self, value: Any, depth: int) -> Any:
        """Kinds that have to be told apart one by one, subclasses among them."""
        if isinstance(value, str):
            return self.string(str.__str__(value), "")
        if isinstance(value, np.bool_):
            return bool(value)
        if isinstance(value, np.datetime64):
            return _moment(str(value), value)
        if isinstance(value, int) or (isinstance(value, np.integer) and not isinstance(value, np.timedelta64)):
            return _whole(int.__index__(value) if isinstance(value, int) else int(value))
        if isinstance(value, (float, np.floating)):
            return _finite(float.__float__(value) if isinstance(value, float) else float(value))
        if isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
            return _moment(value.isoformat(), value)
        if isinstance(value, Mapping):
            return self.object(value, depth + 1)
        if isinstance(value, (list, tuple)):
            return self.list(value, depth + 1)
        hint = ". Call .tolist() on it" if isinstance(value, np.ndarray) else ""
        raise _Unfit(f"{shown(value)} is {_a(value)}, which JSON has no word for{hint}")

    def string(self, text: str, what: str) -> str:
        """A string that SQLite's JSON functions read to its end."""
        self.left -= len(text)
        if self.left < 0:
            raise _Unfit(f"over {MOST_BYTES:,} bytes in all. Keep large values elsewhere")
        if "\0" in text:
            raise _Unfit(f"{what}{shown(text)} holds a NUL character. Take it out")
        if not text.isascii() and lone_surrogate(text) is not None:
            raise _Unfit(f"{what}{shown(text)} holds a lone surrogate, which is not Unicode text")
        return text if type(text) is str else str.__str__(text)

    def enter(self, depth: int, size: int) -> None:
        """Count the entries of a dict or list that is about to be copied."""
        self.left -= 8 * size
        if self.left < 0:
            raise _Unfit(f"over {MOST_BYTES:,} bytes in all. Keep large values elsewhere")
        if depth >= MOST_DEPTH:
            raise _Unfit(f"objects and lists inside each other more than {MOST_DEPTH} deep")


def _whole(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise _Unfit(f"{shown(value)} is beyond 64 bits. Give it as a string")
    return value


def _finite(value: float) -> float:
    if not -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT:
        raise _Unfit(f"{value!r} is not a finite number. Leave it out, or give None")
    return value


_LARGEST_FLOAT = float(np.finfo(np.float64).max)


def _moment(text: str, value: Any) -> str:
    if text == "NaT" or value != value:  # noqa: PLR0124  # NumPy's and pandas' missing moment is like no other
        raise _Unfit(f"{shown(value)} is no moment. Leave it out, or give None")
    return text


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _written(path: list[str | int]) -> str:
    parts = reversed(path)
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" if part.isidentifier() else f"[{shown(part)}]"
        for part in parts
    )
