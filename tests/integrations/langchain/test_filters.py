"""Structured queries mean the same translated as evaluated by hand, for generated conditions and metadata."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("langchain_core", reason="langchain-core is not installed")

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    FilterDirective,
    Operation,
    Operator,
    StructuredQuery,
)

from polyvec.errors import FilterError
from polyvec.index.catalog.filters import compile_filter, matches
from polyvec.integrations.langchain import PolyvecTranslator
from polyvec.integrations.langchain.filters import filter_of

numbers = st.integers(-3, 3)
words = st.sampled_from(["a", "b", "2", ""])
scalars = numbers | words | st.booleans()
metadata = st.dictionaries(
    st.sampled_from(["x", "y"]), numbers | words | st.none() | st.lists(words, max_size=2), max_size=2
)
comparisons = st.one_of(
    st.builds(
        Comparison, st.sampled_from([Comparator.EQ, Comparator.NE, Comparator.CONTAIN]), st.sampled_from("xy"), scalars
    ),
    st.builds(
        Comparison,
        st.sampled_from([Comparator.GT, Comparator.GTE, Comparator.LT, Comparator.LTE]),
        st.sampled_from("xy"),
        numbers | words,
    ),
    st.builds(
        Comparison,
        st.sampled_from([Comparator.IN, Comparator.NIN]),
        st.sampled_from("xy"),
        st.lists(scalars, max_size=3),
    ),
)
directives = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(Operation, st.sampled_from([Operator.AND, Operator.OR]), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda one: Operation(Operator.NOT, [one]), inner)
    ),
    max_leaves=6,
)

pytestmark = pytest.mark.heavy


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _same(a: Any, b: Any) -> bool:
    return _kind(a) is _kind(b) and a == b


def _holds(directive: FilterDirective, fields: dict[str, Any]) -> bool:
    """The meaning that the page documents: a missing field equals nothing, a list holds each of its elements."""
    if isinstance(directive, Operation):
        parts = [_holds(part, fields) for part in directive.arguments]
        return {Operator.AND: all(parts), Operator.OR: any(parts), Operator.NOT: not all(parts)}[directive.operator]
    assert isinstance(directive, Comparison)
    found = fields.get(directive.attribute, [])
    values = found if isinstance(found, list) else [found]
    wanted = directive.value
    if directive.comparator in (Comparator.EQ, Comparator.CONTAIN):
        return any(_same(value, wanted) for value in values)
    if directive.comparator is Comparator.NE:
        return not any(_same(value, wanted) for value in values)
    if directive.comparator in (Comparator.IN, Comparator.NIN):
        inside = any(_same(value, one) for value in values for one in wanted)
        return inside == (directive.comparator is Comparator.IN)
    order = {
        Comparator.GT: lambda a, b: a > b,
        Comparator.GTE: lambda a, b: a >= b,
        Comparator.LT: lambda a, b: a < b,
        Comparator.LTE: lambda a, b: a <= b,
    }[directive.comparator]
    return any(_kind(value) is _kind(wanted) and order(value, wanted) for value in values)


@given(directive=directives, fields=metadata)
def test_a_directive_means_the_same_translated(directive: FilterDirective, fields: dict[str, Any]) -> None:
    condition = filter_of(directive)
    compile_filter(condition)
    assert condition is not None
    assert matches(condition, fields) == _holds(directive, fields)


def test_a_structured_query_gives_its_text_filter_and_limit() -> None:
    condition = Operation(
        Operator.AND, [Comparison(Comparator.EQ, "lang", "de"), Comparison(Comparator.LT, "year", 2000)]
    )
    text, keywords = StructuredQuery("planets", condition, 3).accept(PolyvecTranslator())
    assert (text, keywords) == (
        "planets",
        {"filter": {"$and": [{"lang": {"$eq": "de"}}, {"year": {"$lt": 2000}}]}, "k": 3},
    )
    assert StructuredQuery("planets", None).accept(PolyvecTranslator()) == ("planets", {})


def test_a_typed_date_is_its_iso_string() -> None:
    assert filter_of(Comparison(Comparator.GTE, "day", {"date": "2020-01-31", "type": "date"})) == {
        "day": {"$gte": "2020-01-31"}
    }


def test_what_cannot_be_expressed_is_refused() -> None:
    with pytest.raises(ValueError, match="disallowed comparator"):
        filter_of(Comparison(Comparator.LIKE, "title", "%mars%"))
    with pytest.raises(ValueError, match="no conditions"):
        filter_of(Operation(Operator.AND, []))
    with pytest.raises(ValueError, match="got str"):
        filter_of("lang == 'de'")
    with pytest.raises(FilterError):
        compile_filter(filter_of(Comparison(Comparator.GT, "x", [1])))
