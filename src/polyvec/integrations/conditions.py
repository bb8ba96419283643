"""Conditions in polyvec's filter language that several frameworks need: combinations, and Python's comparison of numbers.

Those frameworks evaluate filters in Python, where True == 1. An index keeps booleans and numbers apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Condition = dict[str, Any]

EVERYTHING: Condition = {}
NOTHING: Condition = {"$not": {}}
_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: bool(a > b),
    "$gte": lambda a, b: bool(a >= b),
    "$lt": lambda a, b: bool(a < b),
    "$lte": lambda a, b: bool(a <= b),
}


def all_of(parts: list[Condition]) -> Condition:
    """All parts hold; without parts, everything does."""
    if not parts:
        return EVERYTHING
    return parts[0] if len(parts) == 1 else {"$and": parts}


def any_of(parts: list[Condition]) -> Condition:
    """At least one part holds; without parts, nothing does."""
    if not parts:
        return NOTHING
    return parts[0] if len(parts) == 1 else {"$or": parts}


def equal_to(name: str, value: str | bool | float) -> Condition:
    """A field is equal to a value, as Python compares them."""
    return one_of(name, [value])


def one_of(name: str, values: list[Any]) -> Condition:
    """A field is equal to one of the values, strings, numbers and booleans, as Python compares them."""
    alike = [twin for value in values for twin in ([int(value), bool(value)] if value in (0, 1) else [value])]
    return {name: {"$eq": alike[0]}} if len(alike) == 1 else {name: {"$in": alike}}


def ordered(name: str, operator: str, limit: str | bool | float) -> Condition:
    """A field is above or below a limit, as Python compares them.

    Args:
        operator: "$gt", "$gte", "$lt" or "$lte".
        limit: A number, which booleans are compared with too, or a string, which only strings are compared with.
    """
    if isinstance(limit, str):
        return {name: {operator: limit}}
    number = int(limit) if isinstance(limit, bool) else limit
    truths = [truth for truth in (False, True) if _HOLDS[operator](int(truth), number)]
    return any_of([{name: {operator: number}}, *({name: {"$eq": truth}} for truth in truths)])
