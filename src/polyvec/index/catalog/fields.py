"""Metadata -> the fields that filters ask for: one flat object, names with dots, strings normalized.

`{"city": "Köln", "in": {"land": "NRW"}}` has the fields `city`, `in` and `in.land`. A name with a dot of its own is the same field
as the nested one; where a document has both, the field holds both values. So a field's name alone says what is meant, and
any name can be asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from polyvec.index.catalog.folding import normalized

_HARD_IN_PATHS = re.compile(r'["\\%\x00-\x1f]')  # what an SQLite JSON path cannot hold, and the sign it is written with
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST = 1.7976931348623157e308


def fields_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Every field by its `field_name`: a scalar, a list, or {} where an object stands. Values of one name are joined."""
    fields: dict[str, Any] = {}
    waiting = [("", metadata)]
    while waiting:
        prefix, values = waiting.pop()
        for key, value in values.items():
            name = prefix + field_name(key)
            fields[name] = _joined(fields[name], _value(value)) if name in fields else _value(value)
            if isinstance(value, Mapping) and value:
                waiting.append((f"{name}.", value))
    return fields


def stored_fields(metadata: Mapping[str, Any]) -> str | None:
    """The fields as JSON, where they differ from the metadata itself; None where metadata already is what filters ask."""
    if all(_is_plain(key, value) for key, value in metadata.items()):
        return None
    fields = fields_of(metadata)
    return None if fields == metadata else json.dumps(fields, ensure_ascii=False)


def field_name(name: str) -> str:
    """A name as fields are kept: normalized, with %XX for quotes, backslashes, percent signs and control characters."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return _HARD_IN_PATHS.sub(lambda match: f"%{ord(match.group()):02X}", normalized(name))


def field_value(value: Any) -> Any:
    """A scalar as filters compare it: strings normalized, whole numbers beyond 64 bits as floats, as SQLite reads them."""
    if isinstance(value, str):
        return normalized(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < _LARGEST else _LARGEST * (1 if value > 0 else -1)
    return value


def _value(value: Any) -> Any:
    """Objects and lists inside lists match nothing: only that they are there is kept."""
    if isinstance(value, Mapping):
        return {}
    if isinstance(value, (list, tuple)):
        return [{} if isinstance(one, (Mapping, list, tuple)) else field_value(one) for one in value]
    return field_value(value)


def _joined(a: Any, b: Any) -> list[Any]:
    return [*(a if isinstance(a, list) else [a]), *(b if isinstance(b, list) else [b])]


def _is_plain(key: str, value: Any) -> bool:
    if not _PLAIN_NAME.fullmatch(key):
        return False
    if isinstance(value, str):
        return value.isascii()
    return value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63)
