"""A metadata filter in the Mongo style -> parameterised SQL over the stored JSON, and the definition it is tested against.

A filter is a dict; all of its entries must hold. `{"lang": "de"}` asks for equality, `{"year": {"$gte": 2000, "$lt": 2010}}`
applies operators, dots reach into nested objects, `$and`, `$or` (lists) and `$not` (one filter) combine. A list in the
metadata matches where one of its elements does. Numbers compare with numbers and strings with strings, by code point; a
field that is absent satisfies only `$ne`, `$nin`, `$not` and `{"$exists": False}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from polyvec.errors import FilterError

_MOST_DEPTH = 32
_MOST_VALUES = 5000
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: bool(a > b),
    "$gte": lambda a, b: bool(a >= b),
    "$lt": lambda a, b: bool(a < b),
    "$lte": lambda a, b: bool(a <= b),
}
_SQL_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", "$in", "$nin", "$exists", "$not", *_ORDER)

Sql = tuple[str, list[Any]]


def matches(condition: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """The definition: whether one document's metadata satisfies a filter that `compile_filter` accepts."""
    for key, value in condition.items():
        if key == "$and":
            held = all(matches(part, metadata) for part in value)
        elif key == "$or":
            held = any(matches(part, metadata) for part in value)
        elif key == "$not":
            held = not matches(value, metadata)
        else:
            held = _field_matches(_values_at(metadata, key), value)
        if not held:
            return False
    return True


def _values_at(metadata: Any, path: str) -> list[Any] | None:
    """What stands at a path: one value, or a list's elements; None where nothing does."""
    for name in path.split("."):
        if not isinstance(metadata, Mapping) or name not in metadata:
            return None
        metadata = metadata[name]
    return list(metadata) if isinstance(metadata, list) else [metadata]


def _field_matches(values: list[Any] | None, wanted: Any) -> bool:
    found = values or []
    for operator, operand in _operators(wanted).items():
        if operator == "$exists":
            held = (values is not None) == operand
        elif operator == "$not":
            held = not _field_matches(values, operand)
        elif operator in ("$eq", "$ne"):
            held = any(_same(value, operand) for value in found) == (operator == "$eq")
        elif operator in ("$in", "$nin"):
            held = any(_same(value, one) for value in found for one in operand) == (operator == "$in")
        else:
            held = any(_kind(v) == _kind(operand) and _ORDER[operator](v, operand) for v in found)
        if not held:
            return False
    return True


def compile_filter(condition: Any) -> Sql:
    """SQL over a column `metadata`, and its parameters. Raises FilterError naming what is wrong and where."""
    return _compile(condition, "filter", 0)


def _compile(condition: Any, where: str, depth: int) -> Sql:
    if not isinstance(condition, Mapping):
        raise FilterError(f"{where}: got {condition!r}, expected an object such as {{'lang': 'de'}}.")
    if depth > _MOST_DEPTH:
        raise FilterError(f"{where}: nested more than {_MOST_DEPTH} deep.")
    parts = []
    for key, value in condition.items():
        if not isinstance(key, str):
            raise FilterError(f"{where}: key {key!r}, expected a string.")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise FilterError(f"{where}.{key}: got {value!r}, expected a list of filters.")
            inner = [_compile(part, f"{where}.{key}[{i}]", depth + 1) for i, part in enumerate(value)]
            parts.append(_joined(inner, " AND " if key == "$and" else " OR "))
        elif key == "$not":
            sql, parameters = _compile(value, f"{where}.$not", depth + 1)
            parts.append((f"NOT {sql}", parameters))
        elif key.startswith("$"):
            raise FilterError(f"{where}: unknown operator {key!r}; expected a field's name, $and, $or or $not.")
        else:
            parts.append(_compile_field(_json_path(key, where), value, f"{where}.{key}", depth))
    return _joined(parts, " AND ")


def _compile_field(path: str, wanted: Any, where: str, depth: int) -> Sql:
    if depth > _MOST_DEPTH:
        raise FilterError(f"{where}: nested more than {_MOST_DEPTH} deep.")
    parts = []
    for operator, operand in _operators(wanted).items():
        if operator not in _OPERATORS:
            raise FilterError(f"{where}: unknown operator {operator!r}; expected one of {' '.join(_OPERATORS)}.")
        if operator == "$exists":
            if not isinstance(operand, bool):
                raise FilterError(f"{where}.$exists: got {operand!r}, expected true or false.")
            parts.append((f"(json_type(metadata, ?) IS {'NOT ' if operand else ''}NULL)", [path]))
        elif operator == "$not":
            if not isinstance(operand, Mapping):
                raise FilterError(f"{where}.$not: got {operand!r}, expected operators such as {{'$gt': 3}}.")
            sql, parameters = _compile_field(path, operand, f"{where}.$not", depth + 1)
            parts.append((f"NOT {sql}", parameters))
        elif operator in ("$in", "$nin"):
            if not isinstance(operand, (list, tuple)) or len(operand) > _MOST_VALUES:
                raise FilterError(f"{where}.{operator}: expected a list of at most {_MOST_VALUES} values.")
            tests = [_same_sql(one, f"{where}.{operator}") for one in operand] or [("0", [])]
            parts.append(_any_element(path, _joined(tests, " OR "), negated=operator == "$nin"))
        elif operator in ("$eq", "$ne"):
            parts.append(_any_element(path, _same_sql(operand, f"{where}.{operator}"), negated=operator == "$ne"))
        else:
            parts.append(_any_element(path, _order_sql(operator, operand, where), negated=False))
    return _joined(parts, " AND ")


def _any_element(path: str, test: Sql, *, negated: bool) -> Sql:
    """Whether the value at a path, or an element of the list there, passes a test on json_each's type and atom."""
    sql, parameters = test
    each = f"EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE json_type(metadata, ?) <> 'object' AND {sql})"
    return (f"NOT {each}" if negated else each), [path, path, *parameters]


def _same_sql(value: Any, where: str) -> Sql:
    kind = _checked(value, where)
    if kind == "boolean":
        return f"(type = '{'true' if value else 'false'}')", []
    if kind == "null":
        return "(type = 'null')", []
    return (f"(type {_types(kind)} AND atom = ?)", [value])


def _order_sql(operator: str, value: Any, where: str) -> Sql:
    kind = _checked(value, f"{where}.{operator}")
    if kind not in ("number", "string"):
        raise FilterError(f"{where}.{operator}: got {value!r}, expected a number or a string.")
    return f"(type {_types(kind)} AND atom {_SQL_ORDER[operator]} ?)", [value]


def _types(kind: str) -> str:
    return "= 'text'" if kind == "string" else "IN ('integer', 'real')"


def _checked(value: Any, where: str) -> str:
    kind = _kind(value)
    if kind == "other":
        raise FilterError(f"{where}: got {value!r}, expected a string, a number, true, false or null.")
    if kind == "number" and (not math.isfinite(value) or (isinstance(value, int) and not -(2**63) <= value < 2**63)):
        raise FilterError(f"{where}: {value!r} is not a number that the index can hold.")
    if kind == "string" and ("\0" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise FilterError(f"{where}: {value!a} holds a NUL or a lone surrogate, which no stored text has.")
    return kind


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "other"


def _same(a: Any, b: Any) -> bool:
    return _kind(a) == _kind(b) != "other" and bool(a == b)


def _operators(wanted: Any) -> Mapping[str, Any]:
    """Operators as they are; a plain value is equality."""
    if isinstance(wanted, Mapping) and wanted and all(isinstance(k, str) and k.startswith("$") for k in wanted):
        return wanted
    return {"$eq": wanted}


def _json_path(key: str, where: str) -> str:
    names = key.split(".")
    if any(not name or '"' in name or "\\" in name or not name.isprintable() for name in names):
        raise FilterError(
            f"{where}: field {key!r}; names must not be empty or hold quotes, backslashes or control characters."
        )
    return "$" + "".join(f'."{name}"' for name in names)


def _joined(parts: list[Sql], word: str) -> Sql:
    if not parts:
        return "(1)", []
    return "(" + word.join(sql for sql, _ in parts) + ")", [p for _, parameters in parts for p in parameters]
