"""Haystack's filters -> filters of polyvec, with the meaning that Haystack's own evaluation gives them.

A field that is missing is None there; True and 1 are equal, as in Python; dates are compared as moments. What an index has no
condition for raises Haystack's FilterError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack.errors import FilterError

from polyvec.integrations.conditions import NOTHING, Condition, all_of, any_of, equal_to, ordered
from polyvec.integrations.haystack.dates import Moment, moment_of
from polyvec.integrations.haystack.documents import CLOCK_FIELD, UTC_FIELD

_OPERATORS = ("==", "!=", ">", ">=", "<", "<=", "in", "not in")
_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_DOCUMENT_FIELDS = ("id", "content", "blob", "meta", "score", "embedding", "sparse_embedding")


def filter_of(given: Any) -> Condition | None:
    """A filter for `Index.search`.

    Args:
        given: A filter of Haystack; None and {} are for all documents.

    Returns:
        The filter; None for all documents.

    Raises:
        FilterError: It is malformed, or an index has no condition for it.
    """
    if given is None or given == {}:
        return None
    return _condition(given)


def _condition(given: Any) -> Condition:
    if not isinstance(given, Mapping):
        raise FilterError(f"Got {given!r} for a condition, expected a dict with 'operator'.")
    if "field" in given:
        return _comparison(given)
    operator, conditions = _entry(given, "operator"), _entry(given, "conditions")
    if not isinstance(conditions, (list, tuple)):
        raise FilterError(f"'conditions': got {conditions!r}, expected a list of conditions.")
    parts = [_condition(part) for part in conditions]
    if operator == "AND":
        return all_of(parts)
    if operator == "OR":
        return any_of(parts)
    if operator == "NOT":
        return {"$not": all_of(parts)}
    raise FilterError(f"Unknown logical operator {operator!r}; expected 'AND', 'OR' or 'NOT'.")


def _comparison(given: Mapping[str, Any]) -> Condition:
    name = _field(given["field"])
    operator, value = _entry(given, "operator"), _entry(given, "value")
    if operator not in _OPERATORS:
        raise FilterError(f"Unknown comparison operator {operator!r}; expected one of {', '.join(_OPERATORS)}.")
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise FilterError(f"{operator!r} on {name!r}: got {type(value).__name__}, expected a list of values.")
        inside = any_of([_equal(name, one) for one in value])
        return inside if operator == "in" else {"$not": inside}
    if operator in ("==", "!="):
        equal = _equal(name, value)
        return equal if operator == "==" else {"$not": equal}
    return _ordered(name, operator, value)


def _equal(name: str, value: Any) -> Condition:
    if value is None:
        return {"$or": [{name: {"$eq": None}}, {name: {"$exists": False}}]}
    if isinstance(value, (bool, int, float)):
        return equal_to(name, value)
    moment = moment_of(value)
    if isinstance(value, str):
        spelled: Condition = {name: {"$eq": value}}
        return spelled if moment is None else {"$or": [spelled, _compared(name, "$eq", moment)]}
    if moment is not None:
        return _compared(name, "$eq", moment)
    raise FilterError(
        f"{name!r} is compared with {value!r}, a {type(value).__name__}. Expected a string, a number, a boolean, None "
        "or a datetime."
    )


def _ordered(name: str, operator: str, value: Any) -> Condition:
    if value is None:
        return NOTHING  # nothing is larger or smaller than None
    if isinstance(value, (bool, int, float)):
        return ordered(name, _ORDER[operator], value)
    moment = moment_of(value)
    if moment is None:
        what = "which is no ISO 8601 date" if isinstance(value, str) else f"a {type(value).__name__}"
        raise FilterError(
            f"{operator!r} on {name!r}: got {value!r}, {what}. Expected a number, a datetime or a date such as "
            "'2024-05-31T12:00:00'."
        )
    return _compared(name, _ORDER[operator], moment)


def _compared(name: str, operator: str, moment: Moment) -> Condition:
    clock, utc = f"{CLOCK_FIELD}.{name}", f"{UTC_FIELD}.{name}"
    by_clock = {clock: {operator: moment.clock}}
    if moment.utc is None:
        return by_clock
    return {"$or": [{utc: {operator: moment.utc}}, {"$and": [{utc: {"$exists": False}}, by_clock]}]}


def _field(field: Any) -> str:
    """The name that a field has in the index."""
    if not isinstance(field, str):
        raise FilterError(f"'field': got {field!r}, expected a string such as 'meta.year'.")
    if field.startswith("meta.") and len(field) > len("meta."):
        name = field.removeprefix("meta.")
    elif field in _DOCUMENT_FIELDS or "." in field:
        raise FilterError(f"'field': got {field!r}. Expected a field of the metadata, such as 'meta.year'.")
    else:
        name = field
    if name.startswith("$"):
        raise FilterError(f"'field': got {field!r}. A name that begins with $ cannot be asked for.")
    return name


def _entry(given: Mapping[str, Any], key: str) -> Any:
    if key not in given:
        raise FilterError(f"{key!r} is missing in {dict(given)!r}.")
    return given[key]
