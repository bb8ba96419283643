"""LangChain's structured queries -> filters of polyvec. A filter that is a dict already is polyvec's own language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    FilterDirective,
    Operation,
    Operator,
    StructuredQuery,
    Visitor,
)

_COMPARATORS: dict[Comparator, str] = {
    Comparator.EQ: "$eq",
    Comparator.NE: "$ne",
    Comparator.GT: "$gt",
    Comparator.GTE: "$gte",
    Comparator.LT: "$lt",
    Comparator.LTE: "$lte",
    Comparator.IN: "$in",
    Comparator.NIN: "$nin",
    Comparator.CONTAIN: "$eq",  # a field that holds a list is equal to each of its elements
}


class PolyvecTranslator(Visitor):
    """Translates a structured query, as a self-query retriever writes it, into keywords of `similarity_search`."""

    allowed_comparators: Sequence[Comparator] | None = list(_COMPARATORS)
    allowed_operators: Sequence[Operator] | None = [Operator.AND, Operator.OR, Operator.NOT]

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """A combination of conditions as a filter; raises ValueError for one without conditions."""
        self._validate_func(operation.operator)
        parts = [argument.accept(self) for argument in operation.arguments]
        if not parts:
            raise ValueError(f"The filter's {operation.operator.value} has no conditions: expected at least one.")
        if operation.operator is Operator.NOT:
            return {"$not": parts[0]} if len(parts) == 1 else {"$not": {"$and": parts}}
        return {"$and": parts} if operation.operator is Operator.AND else {"$or": parts}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """One condition as a filter; raises ValueError for a comparator that polyvec lacks, such as LIKE."""
        self._validate_func(comparison.comparator)
        return {comparison.attribute: {_COMPARATORS[comparison.comparator]: _plain(comparison.value)}}

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        """The query's text, and the keywords that hold its filter and limit."""
        keywords: dict[str, Any] = {}
        if structured_query.filter is not None:
            keywords["filter"] = structured_query.filter.accept(self)
        if structured_query.limit is not None:
            keywords["k"] = structured_query.limit
        return structured_query.query, keywords


def filter_of(given: Any) -> Mapping[str, Any] | None:
    """A filter for `Index.search`: a dict as it is, a directive of a structured query translated.

    Raises:
        ValueError: A function or another type. InMemoryVectorStore filters with functions; an index cannot run one.
    """
    if given is None or isinstance(given, Mapping):
        return given
    if isinstance(given, FilterDirective):
        translated: dict[str, Any] = given.accept(PolyvecTranslator())
        return translated
    if callable(given):
        raise ValueError(
            "filter: got a function. Expected a dict such as {'lang': 'de'}: the index finds the documents by it."
        )
    raise ValueError(f"filter: got {type(given).__name__}, expected a dict such as {{'year': {{'$gte': 2020}}}}.")


def _plain(value: Any) -> Any:
    """A value of a comparison; a typed date, as query constructors write it, is its ISO string."""
    if isinstance(value, Mapping) and set(value) == {"date", "type"}:
        return value["date"]
    if isinstance(value, Mapping) and set(value) == {"datetime", "type"}:
        return value["datetime"]
    return list(value) if isinstance(value, tuple) else value
