"""A metadata filter in the Mongo style -> parameterized SQL over the stored fields, and the definition it is tested against.

A filter is a dict; all of its entries must hold. `{"lang": "de"}` asks for equality, `{"year": {"$gte": 2000, "$lt": 2010}}`
applies operators, dots reach into nested objects, `$and`, `$or` (lists) and `$not` (one filter) combine. A list in the
metadata matches where one of its elements does. Numbers compare with numbers and strings with strings; a field that is
absent satisfies only `$ne`, `$nin`, `$not` and `{"$exists": False}`.

`a.b` is the field `b` of the object `a`, or a field that is named `a.b`; a document with either or both can match. Names and
strings compare in one written form (`folding.normalized`): "Zürich" is found composed or decomposed, "Ａ" as "A". Case
and accents count. Strings are ordered by code point.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from polyvec.errors import FilterError
from polyvec.index.catalog.fields import field_name, field_value, fields_of

MOST_DEPTH = 32
MOST_VALUES = 100_000
_MOST_SHOWN = 80  # characters of a wrong value in a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _MOST_SHOWN
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
    return _matches(condition, fields_of(metadata))


def _matches(condition: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    for key, value in condition.items():
        if key == "$and":
            held = all(_matches(part, fields) for part in value)
        elif key == "$or":
            held = any(_matches(part, fields) for part in value)
        elif key == "$not":
            held = not _matches(value, fields)
        else:
            held = _field_matches(_values(fields, field_name(key)), value)
        if not held:
            return False
    return True


def _values(fields: Mapping[str, Any], name: str) -> list[Any] | None:
    """What a field holds: one value, or a list's elements; None where there is no such field."""
    if name not in fields:
        return None
    return fields[name] if isinstance(fields[name], list) else [fields[name]]


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
            limit = field_value(operand)
            held = any(_kind(v) == _kind(limit) and _ORDER[operator](v, limit) for v in found)
        if not held:
            return False
    return True


def compile_filter(condition: Any) -> Sql:
    """SQL over columns `fields` and `metadata`, and its parameters. Raises FilterError naming what is wrong and where."""
    return _compile(condition, "filter", 0)


def _compile(condition: Any, where: str, depth: int) -> Sql:
    if not isinstance(condition, Mapping):
        raise FilterError(f"{where}: got {_shown(condition)}, expected an object such as {{'lang': 'de'}}.")
    if depth > MOST_DEPTH:
        raise FilterError(f"{where}: nested more than {MOST_DEPTH} deep.")
    parts = []
    for key, value in condition.items():
        if not isinstance(key, str):
            raise FilterError(f"{where}: key {_shown(key)}, expected a string.")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise FilterError(f"{where}.{key}: got {_shown(value)}, expected a list of filters.")
            merged, rest = _alternatives(value, f"{where}.{key}") if key == "$or" else ([], list(enumerate(value)))
            inner = [_compile(part, f"{where}.{key}[{i}]", depth + 1) for i, part in rest]
            parts.append(_joined(merged + inner, " AND " if key == "$and" else " OR "))
        elif key == "$not":
            sql, parameters = _compile(value, f"{where}.$not", depth + 1)
            parts.append((f"NOT {sql}", parameters))
        elif key.startswith("$"):
            raise FilterError(f"{where}: unknown operator {_shown(key)}; expected a field's name, $and, $or or $not.")
        else:
            parts.append(_compile_field(_path(key, where), value, f"{where}.{_name(key)}", depth))
    return _joined(parts, " AND ")


def _alternatives(parts: Sequence[Any], where: str) -> tuple[list[Sql], list[tuple[int, Any]]]:
    """Of the parts of `$or`: equalities of one field as one test of many values, and all others with their numbers.

    A list of thousands of ids is then read once a document, not thousands of times.
    """
    equalities: dict[str, list[Any]] = {}
    rest = []
    for i, part in enumerate(parts):
        (key, value) = next(iter(part.items())) if isinstance(part, Mapping) and len(part) == 1 else ("$", None)
        if isinstance(key, str) and not key.startswith("$") and _kind(value) != "other":
            _checked(value, f"{where}[{i}].{_name(key)}")
            equalities.setdefault(_path(key, f"{where}[{i}]"), []).append(value)
        else:
            rest.append((i, part))
    return [_any_element(path, _one_of_sql(values, where), negated=False) for path, values in equalities.items()], rest


def _compile_field(path: str, wanted: Any, where: str, depth: int) -> Sql:
    if depth > MOST_DEPTH:
        raise FilterError(f"{where}: nested more than {MOST_DEPTH} deep.")
    parts = []
    for operator, operand in _operators(wanted).items():
        if operator not in _OPERATORS:
            raise FilterError(f"{where}: unknown operator {_shown(operator)}; expected one of {' '.join(_OPERATORS)}.")
        if operator == "$exists":
            if not isinstance(operand, bool):
                raise FilterError(f"{where}.$exists: got {_shown(operand)}, expected true or false.")
            parts.append((f"(json_type(coalesce(fields, metadata), ?) IS {'NOT ' if operand else ''}NULL)", [path]))
        elif operator == "$not":
            if not isinstance(operand, Mapping):
                raise FilterError(f"{where}.$not: got {_shown(operand)}, expected operators such as {{'$gt': 3}}.")
            sql, parameters = _compile_field(path, operand, f"{where}.$not", depth + 1)
            parts.append((f"NOT {sql}", parameters))
        elif operator in ("$in", "$nin"):
            if not isinstance(operand, (list, tuple)) or len(operand) > MOST_VALUES:
                got = f"{len(operand)} values" if isinstance(operand, (list, tuple)) else _shown(operand)
                raise FilterError(f"{where}.{operator}: got {got}, expected a list of at most {MOST_VALUES} values.")
            parts.append(_any_element(path, _one_of_sql(operand, f"{where}.{operator}"), negated=operator == "$nin"))
        elif operator in ("$eq", "$ne"):
            parts.append(_any_element(path, _one_of_sql([operand], f"{where}.{operator}"), negated=operator == "$ne"))
        else:
            parts.append(_any_element(path, _order_sql(operator, operand, where), negated=False))
    return _joined(parts, " AND ")


def _any_element(path: str, test: Sql, *, negated: bool) -> Sql:
    """Whether the value of a field, or an element of the list there, passes a test on json_each's type and atom."""
    sql, parameters = test
    each = f"EXISTS (SELECT 1 FROM json_each(coalesce(fields, metadata), ?) AS each WHERE {sql})"
    return (f"NOT {each}" if negated else each), [path, *parameters]


def _one_of_sql(values: Sequence[Any], where: str) -> Sql:
    """Equality with any of the values: one parameter a kind of value, however many there are."""
    numbers: list[Any] = []
    strings: list[Any] = []
    tests: list[Sql] = []
    for value in values:
        kind = _checked(value, where)
        if kind == "boolean":
            tests.append((f"each.type = '{'true' if value else 'false'}'", []))
        elif kind == "null":
            tests.append(("each.type = 'null'", []))
        else:
            (numbers if kind == "number" else strings).append(field_value(value))
    tests = list({sql: (sql, parameters) for sql, parameters in tests}.values())
    for kind, group in (("number", numbers), ("string", strings)):
        if len(group) == 1:
            sql, parameter = _operand(group[0])
            tests.append((f"(each.type {_types(kind)} AND each.atom = {sql})", [parameter]))
        elif group:
            codec_record = json.dumps(group, ensure_ascii=False)
            tests.append(
                (f"(each.type {_types(kind)} AND each.atom IN (SELECT value FROM json_each(?)))", [codec_record])
            )
    return _joined(tests or [("0", [])], " OR ")


def _order_sql(operator: str, value: Any, where: str) -> Sql:
    kind = _checked(value, f"{where}.{operator}")
    if kind not in ("number", "string"):
        raise FilterError(f"{where}.{operator}: got {_shown(value)}, expected a number or a string.")
    sql, parameter = _operand(field_value(value))
    return f"(each.type {_types(kind)} AND each.atom {_SQL_ORDER[operator]} {sql})", [parameter]


def _operand(value: Any) -> tuple[str, Any]:
    """One value as SQL and its parameter. A float is read from JSON, as stored ones are, so that both are rounded alike."""
    return ("json_extract(?, '$')", json.dumps(value)) if isinstance(value, float) else ("?", value)


def _types(kind: str) -> str:
    return "= 'text'" if kind == "string" else "IN ('integer', 'real')"


def _checked(value: Any, where: str) -> str:
    kind = _kind(value)
    if kind == "other":
        raise FilterError(f"{where}: got {_shown(value)}, expected a string, a number, true, false or null.")
    if kind == "number" and not _fits(value):
        raise FilterError(f"{where}: {_shown(value)} is not a number that the index can hold.")
    if kind == "string" and _unstorable(value):
        raise FilterError(f"{where}: {_shown(value)} holds a NUL or a lone surrogate, which no stored text has.")
    return kind


def _fits(number: float) -> bool:
    return -(2**63) <= number < 2**63 if isinstance(number, int) else math.isfinite(number)


def _unstorable(text: str) -> bool:
    return (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)) or "\0" in text


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "other"


def _same(value: Any, wanted: Any) -> bool:
    return _kind(value) == _kind(wanted) != "other" and bool(value == field_value(wanted))


def _operators(wanted: Any) -> Mapping[str, Any]:
    """Operators as they are; a plain value is equality."""
    if isinstance(wanted, Mapping) and wanted and all(isinstance(k, str) and k.startswith("$") for k in wanted):
        return wanted
    return {"$eq": wanted}


def _path(name: str, where: str) -> str:
    """SQLite's path of a field. Raises FilterError for a name that no stored text has."""
    if _unstorable(name):
        raise FilterError(f"{where}: field {_shown(name)} holds a NUL or a lone surrogate, which no stored name has.")
    return f'$."{field_name(name)}"'


def _shown(value: Any) -> str:
    """A value for a message, cut where it is long or deep."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of {value.bit_length()} bits"
    return ascii(value)[:_MOST_SHOWN] if isinstance(value, str) and _unstorable(value) else _SHORT.repr(value)


def _name(key: str) -> str:
    return _shown(key)[1:-1]


def _joined(parts: list[Sql], word: str) -> Sql:
    """All parts as one expression, as a balanced tree: SQLite bounds how deep an expression may be."""
    if not parts:
        return "(1)", []
    if len(parts) > 2:
        half = len(parts) // 2
        parts = [_joined(parts[:half], word), _joined(parts[half:], word)]
    return "(" + word.join(sql for sql, _ in parts) + ")", [p for _, parameters in parts for p in parameters]
