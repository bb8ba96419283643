"""LlamaIndex's metadata filters -> filters of polyvec, with the meaning that LlamaIndex's in-memory store gives them.

A field that is missing is None there, and None satisfies only !=, nin and is_empty. What an index has no condition for raises
FilterError, which is a ValueError, as LlamaIndex's own stores raise it.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from polyvec.errors import FilterError
from polyvec.integrations.conditions import EVERYTHING, NOTHING, Condition, all_of, any_of, equal_to, one_of, ordered
from polyvec.integrations.llama_index.nodes import EMPTY_FIELD, SOURCE_FIELD

_ORDER = {
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
}
_SOURCE_NAMES = ("ref_doc_id", "doc_id", "document_id")  # what LlamaIndex's stores call it


def filter_of(given: MetadataFilters | None) -> Condition | None:
    """A filter for `Index.search`.

    Args:
        given: Filters of LlamaIndex, nested as they may be; None for all nodes.

    Returns:
        The filter; None for all nodes.

    Raises:
        FilterError: A condition that an index cannot tell, such as a match inside a text.
    """
    if given is None:
        return None
    if not isinstance(given, MetadataFilters):
        raise FilterError(f"filters: got {type(given).__name__}, expected MetadataFilters of LlamaIndex.")
    return _group(given) or None


def _group(group: MetadataFilters) -> Condition:
    parts = [_group(part) if isinstance(part, MetadataFilters) else _single(part) for part in group.filters]
    if not parts:
        return EVERYTHING
    if group.condition == FilterCondition.OR:
        return any_of(parts)
    if group.condition == FilterCondition.NOT:
        return {"$not": any_of(parts)}
    return all_of(parts)


def _single(given: MetadataFilter) -> Condition:
    name, operator, value = _field(given.key), given.operator, given.value
    if operator is FilterOperator.IS_EMPTY:
        return any_of([_missing(name), equal_to(name, ""), {EMPTY_FIELD: {"$eq": name}}])
    if operator is FilterOperator.EQ:
        return NOTHING if value is None else equal_to(name, _scalar(given))
    if operator is FilterOperator.NE:
        return EVERYTHING if value is None else {"$not": equal_to(name, _scalar(given))}
    if operator in _ORDER:
        return ordered(name, _ORDER[operator], _scalar(given))
    if operator is FilterOperator.IN:
        return one_of(name, _values(given))
    if operator is FilterOperator.NIN:
        return {"$not": one_of(name, _values(given))}
    if operator is FilterOperator.CONTAINS:
        return equal_to(name, _scalar(given))  # a field that holds a list is equal to each of its elements
    if operator is FilterOperator.ANY:
        return one_of(name, _values(given))
    if operator is FilterOperator.ALL:
        return all_of([equal_to(name, one) for one in _values(given)])
    raise FilterError(
        f"Filter {operator.value!r} on {given.key!r}: an index does not look inside texts of metadata. Use '==' or 'in', or "
        "search with search_options={'mode': 'keyword'}."
    )


def _missing(name: str) -> Condition:
    return {"$or": [{name: {"$exists": False}}, {name: {"$eq": None}}]}


def _scalar(given: MetadataFilter) -> Any:
    if given.value is None or isinstance(given.value, list):
        raise FilterError(
            f"Filter {given.operator.value!r} on {given.key!r}: got {given.value!r}, expected a string or a number."
        )
    return given.value


def _values(given: MetadataFilter) -> list[Any]:
    if not isinstance(given.value, list) or (not given.value and given.operator is FilterOperator.ALL):
        raise FilterError(
            f"Filter {given.operator.value!r} on {given.key!r}: got {given.value!r}, expected a list of strings or numbers."
        )
    return given.value


def _field(key: str) -> str:
    if key.startswith("$"):
        raise FilterError(f"Filter on {key!r}: a name that begins with $ cannot be asked for.")
    return SOURCE_FIELD if key in _SOURCE_NAMES else key
