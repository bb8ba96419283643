"""Text -> JSON values, strictly: what JSON leaves open is refused, so that nothing is lost or read two ways.

Refused are keys that come twice, NaN and Infinity, numbers beyond a double, halves of a surrogate pair, and nesting deeper than
`MAX_DEPTH`. Every reader of JSON goes through `parse_json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from polyvec.data.files import Progress, decoded, lines
from polyvec.errors import InputError

MAX_DEPTH = 100


def parse_json(text: str, where: str) -> Any:
    """One JSON value.

    Args:
        text: The JSON.
        where: What the message begins with: a file and line, or the name of an option.

    Raises:
        InputError: It is not JSON, or holds something that is refused.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise InputError(f"{where}: JSON nested more than {MAX_DEPTH} deep. Write it flatter.") from error
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({error}).") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise InputError(f"{where}: JSON nested more than {MAX_DEPTH} deep. Write it flatter.")
    if "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value, where)
    return value


def json_lines(stream: BinaryIO, name: str, progress: Progress | None = None) -> Iterator[tuple[dict[str, Any], str]]:
    """Stream the objects of JSON lines with their place, "name:line"; blank lines are passed over.

    Raises:
        InputError: A line is not one JSON object, or holds something that is refused.
    """
    for number, line in enumerate(lines(stream, name), start=1):
        if progress is not None:
            progress(len(line))
        where = f"{name}:{number}"
        text = decoded(line, where, first=number == 1)
        if not text.strip():
            continue
        if text.lstrip().startswith("["):
            raise InputError(f"{where}: got a JSON list, the start of an array. Expected one object a line.")
        row = parse_json(text, where)
        if not isinstance(row, dict):
            raise InputError(f"{where}: got a JSON {type(row).__name__}. Expected one object a line.")
        yield row, where


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not plain JSON; write null, or leave the field out")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > 400:  # of digits; no double is larger
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


# Made once: json.loads makes one for each call that has hooks.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_integer
)


def _depth(value: Any) -> int:
    depth, level = 0, [value] if isinstance(value, (dict, list)) else []
    while level:
        depth += 1
        within = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in within if isinstance(inner, (dict, list))]
    return depth


def _refuse_surrogates(value: Any, where: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: a lone surrogate (\\u{ord(error.object[error.start]):04x}), which is not Unicode text. "
            "Write the whole pair, or leave it out."
        ) from error
