"""TOML files -> frozen dataclasses, every key known and every value of its type."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from polyvec.data.files import as_path, decoded, named, opened
from polyvec.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 16 * 1024 * 1024


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a byte order mark is passed over.

    Raises:
        InputError: It cannot be read as that.
    """
    path = as_path(path, "a TOML file")
    name = named(path)
    with opened(path) as stream:
        try:
            data = stream.read(_MAX_BYTES + 1)
        except (OSError, EOFError) as error:
            raise InputError(f"{name}: cannot be read ({error}).") from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{name}: over {_MAX_BYTES // 2**20} MB, which is no file of settings.")
    text = decoded(data, name, first=True)
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{name} is not TOML: {str(error) or 'nested too deep'}.") from error
    return tables


def checked_table(
    kind: Any, values: Any, where: str, *, negative: bool = False, text: Callable[[str, str], str] | None = None
) -> Any:
    """A dataclass from a table of TOML.

    Args:
        kind: The dataclass. Its fields are str, bool, int, float, Literal, dataclasses, tuples and dicts of these, or None.
        values: The table.
        where: What messages begin with.
        negative: Whether numbers may be below 0.
        text: What is done to each string, with its place, such as putting in environment variables.

    Raises:
        InputError: An unknown or missing key, a value of another type, a number that is not finite.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a table, not {values!r}.")
    hints = typing.get_type_hints(kind)
    known = {one.name: one for one in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}. Known: {', '.join(known)}.")
    for name, one in known.items():
        needed = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise InputError(f"{where}: {name} is missing.")
    return kind(
        **{name: _value(hints[name], value, f"{where}: {name}", negative, text) for name, value in values.items()}
    )


def _value(hint: Any, value: Any, where: str, negative: bool, text: Callable[[str, str], str] | None) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return checked_table(hint, value, where, negative=negative, text=text)
    if origin in (typing.Union, types.UnionType):  # or None, which TOML cannot say
        (hint,) = (one for one in inner if one is not type(None))
        return _value(hint, value, where, negative, text)
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in inner):
            raise InputError(f"{where} = {value!r}: expected one of {', '.join(map(repr, inner))}.")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} = {value!r}: expected a list.")
        return tuple(_value(inner[0], item, where, negative, text) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} = {value!r}: expected a table.")
        return {key: _value(inner[1], item, f"{where}.{key}", negative, text) for key, item in value.items()}
    if hint is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not hint:
        raise InputError(f"{where} = {value!r}: expected {hint.__name__}.")
    if hint is float and not math.isfinite(value):
        raise InputError(f"{where} = {value!r}: expected a finite number.")
    if hint in (int, float) and value < 0 and not negative:
        raise InputError(f"{where} = {value!r}: expected a number that is not negative.")
    return text(value, where) if hint is str and text is not None else value
