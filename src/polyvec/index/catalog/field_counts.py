"""Metadata of many documents -> what its fields are: types, how many documents have them, and their most frequent values.

Counts in bounded memory: at most so many fields, and so many distinct values a field. Knows nothing about files or SQLite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from polyvec.index.catalog.fields import field_value
from polyvec.index.catalog.folding import normalized

MOST_FIELDS = 200  # names that are counted; what comes later is left out
MOST_VALUES = 1_000  # distinct values of one field that are counted
_LONGEST_VALUE = 200  # characters of a string that is still a value to choose from

_TYPES = {
    str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", dict: "object", list: "list",
}  # fmt: skip

Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class FieldSummary:
    """One metadata field, under the name that a filter asks for it by.

    Attributes:
        name: The field; dots reach into nested objects, as in `place.city`.
        types: JSON types of its values, sorted: "boolean", "list", "null", "number", "object", "string". Elements of a list count
            with their own types, beside "list".
        documents: How many documents have the field.
        values: The most frequent values and how many documents have each, most first. Empty where there are too many distinct
            ones to be worth a choice. Strings are as filters compare them, in one written form.
        distinct: How many distinct values there are; None for too many to count (over 1,000, or strings over 200 characters).
        minimum: The smallest number; None where no value is a number.
        maximum: The largest number; None where no value is a number.
        estimated: Whether counts are estimates from a sample, as in a large index; `minimum` and `maximum` are the sample's then.
    """

    name: str
    types: tuple[str, ...]
    documents: int
    values: tuple[tuple[Scalar, int], ...]
    distinct: int | None
    minimum: float | None = None
    maximum: float | None = None
    estimated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values.

        Returns:
            The attributes by name; `types` and `values` are lists.
        """
        values = [{"value": value, "documents": count} for value, count in self.values]
        return {**asdict(self), "types": list(self.types), "values": values}


def summarized(
    metadata: Iterable[Mapping[str, Any]], *, limit: int, total: int | None = None
) -> dict[str, FieldSummary]:
    """What the fields of these documents are.

    Args:
        metadata: Of each document that is counted, in plain JSON values.
        limit: Values to name of each field, at most.
        total: Documents that these stand for, where they are a sample; None where they are all there are.

    Returns:
        A summary for each field by name, those of most documents first, then by name.
    """
    counting = _Counting()
    for fields in metadata:
        counting.read += 1
        counting.count("", fields)
    scale = 1.0 if total is None or not counting.read else total / counting.read
    summaries = [one.summary(name, limit, scale, total is not None) for name, one in counting.fields.items()]
    summaries.sort(key=lambda one: (-one.documents, one.name))
    return {one.name: one for one in summaries}


class _Counting:
    """All fields while documents come in."""

    def __init__(self) -> None:
        self.read = 0  # documents
        self.fields: dict[str, _Counted] = {}
        self._by_key: dict[str, _Counted] = {}  # by the name as it is written, which may be one of several for a field

    def count(self, prefix: str, fields: Mapping[str, Any]) -> None:
        """Count every field of an object, and of the objects in it."""
        for key, value in fields.items():
            one = self._by_key.get(prefix + key) or self._field(prefix + key)
            if one is None:
                continue
            kind = _TYPES[type(value)]
            if kind == "object":
                one.add(kind, None, self.read)
                self.count(f"{prefix}{key}.", value)
            elif kind == "list":
                one.add(kind, None, self.read)
                for element in value:
                    inner = _TYPES[type(element)]
                    one.add(inner, None if inner in ("object", "list") else field_value(element), self.read)
            else:
                one.add(kind, field_value(value), self.read)

    def _field(self, key: str) -> _Counted | None:
        name = normalized(key)
        if name not in self.fields and len(self.fields) >= MOST_FIELDS:
            return None
        one = self._by_key[key] = self.fields.setdefault(name, _Counted())
        return one


@dataclass
class _Counted:
    """One field while its values come in."""

    documents: int = 0
    last: int = 0  # number of the document that was counted last
    seen: set[tuple[str, Any]] = field(default_factory=set)  # its types and values
    types: set[str] = field(default_factory=set)
    values: Counter[tuple[str, Any]] = field(default_factory=Counter)
    too_many: bool = False
    minimum: float | None = None
    maximum: float | None = None

    def add(self, kind: str, value: Any, number: int) -> None:
        """Count one value of a document; the document counts once, however many values it has."""
        entry = kind, value
        if number != self.last:
            self.documents += 1
            self.last, self.seen = number, {entry}
        elif entry in self.seen:
            return
        else:
            self.seen.add(entry)
        self.types.add(kind)
        if kind in ("object", "list"):
            return
        if kind == "number":
            self.minimum = value if self.minimum is None else min(self.minimum, value)
            self.maximum = value if self.maximum is None else max(self.maximum, value)
        if self.too_many:
            return
        self.values[entry] += 1
        if len(self.values) > MOST_VALUES or (kind == "string" and len(value) > _LONGEST_VALUE):
            self.too_many = True
            self.values.clear()

    def summary(self, name: str, limit: int, scale: float, estimated: bool) -> FieldSummary:
        """What was counted. scale: documents that each counted one stands for."""
        ranked = sorted(self.values.items(), key=lambda item: (-item[1], *item[0]))  # a type has values of one kind
        return FieldSummary(
            name=name,
            types=tuple(sorted(self.types)),
            documents=round(self.documents * scale),
            values=tuple((value, round(count * scale)) for (_, value), count in ranked[:limit]),
            distinct=None if self.too_many else len(self.values),
            minimum=self.minimum,
            maximum=self.maximum,
            estimated=estimated,
        )
