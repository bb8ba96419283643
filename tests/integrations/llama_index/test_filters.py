"""Metadata filters mean the same translated as in LlamaIndex's own in-memory evaluation, for generated filters and metadata."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from polyvec.errors import FilterError
from polyvec.index.catalog.filters import compile_filter, matches
from polyvec.integrations.llama_index.filters import filter_of
from polyvec.integrations.llama_index.nodes import row_of

pytestmark = pytest.mark.heavy

numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0])
words = st.sampled_from(["a", "b", "2", "", "2020-01-01", "2020-01-02"])
some = st.lists(words, min_size=1, max_size=2) | st.lists(st.integers(-3, 3), min_size=1, max_size=2)
lists = some | st.just([])
keys = st.sampled_from("xyz")
# x and y hold single values, z lists: on a list, equality asks for an element, which LlamaIndex's operator for it is "contains"
metadata = st.fixed_dictionaries(
    {},
    optional={
        "x": st.none() | st.booleans() | numbers | words,
        "y": st.none() | numbers | words,
        "z": st.none() | lists,
    },
)


def _filters(key: str, operators: list[FilterOperator], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(MetadataFilter, key=st.sampled_from(key), operator=st.sampled_from(operators), value=values)


O = FilterOperator  # noqa: E741
singles = (
    _filters("xy", [O.EQ, O.NE], st.none() | numbers | words)
    | _filters("xy", [O.GT, O.GTE, O.LT, O.LTE], numbers | words)
    | _filters("xy", [O.IN, O.NIN], lists)
    | _filters("z", [O.CONTAINS], st.integers(-3, 3) | words)
    | _filters("z", [O.ANY], lists)
    | _filters("z", [O.ALL], some)
    | _filters("xyz", [O.IS_EMPTY], st.none())
)
groups = st.recursive(
    st.builds(MetadataFilters, filters=st.lists(singles, max_size=3), condition=st.sampled_from(list(FilterCondition))),
    lambda inner: st.builds(
        MetadataFilters,
        filters=st.lists(singles | inner, max_size=3),
        condition=st.sampled_from(list(FilterCondition)),
    ),
    max_leaves=4,
)


def _holds(given: MetadataFilters | MetadataFilter, fields: dict[str, Any]) -> bool:
    """LlamaIndex's evaluation of each condition; it takes no nested groups, so those are joined here."""
    if isinstance(given, MetadataFilter):
        return build_metadata_filter_fn(lambda _: fields, MetadataFilters(filters=[given]))("id")
    if not given.filters:
        return True
    parts = [_holds(part, fields) for part in given.filters]
    if given.condition is FilterCondition.OR:
        return any(parts)
    return not any(parts) if given.condition is FilterCondition.NOT else all(parts)


@given(filters=groups, fields=metadata)
@example(filters=MetadataFilters(filters=[MetadataFilter(key="x", value=1)]), fields={"x": True})
def test_filters_mean_the_same_translated(filters: MetadataFilters, fields: dict[str, Any]) -> None:
    try:
        expected = _holds(filters, fields)
    except TypeError:  # a number beside a string: LlamaIndex fails, an index passes the node over
        assume(False)
    translated = filter_of(filters) or {}
    compile_filter(translated)
    assert matches(translated, row_of(TextNode(text="text", metadata=fields)).metadata) == expected


def test_no_filter_is_for_all_nodes() -> None:
    assert filter_of(None) is None
    assert filter_of(MetadataFilters(filters=[])) is None


def test_the_document_of_a_node_can_be_asked_for() -> None:
    for name in ("ref_doc_id", "doc_id", "document_id"):
        assert filter_of(MetadataFilters(filters=[MetadataFilter(key=name, value="d1")])) == {
            "_llama_index_source": {"$eq": "d1"}
        }


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (MetadataFilter(key="x", operator=O.TEXT_MATCH, value="mar"), "'text_match' on 'x'.* does not look inside"),
        (MetadataFilter(key="x", operator=O.TEXT_MATCH_INSENSITIVE, value="m"), "does not look inside"),
        (MetadataFilter(key="x", operator=O.EQ, value=["a"]), "expected a string or a number"),
        (MetadataFilter(key="x", operator=O.GT, value=None), "expected a string or a number"),
        (MetadataFilter(key="x", operator=O.CONTAINS, value=["a"]), "expected a string or a number"),
        (MetadataFilter(key="x", operator=O.IN, value="abc"), "expected a list"),
        (MetadataFilter(key="x", operator=O.ALL, value=[]), "expected a list"),
        (MetadataFilter(key="$x", operator=O.EQ, value="a"), "begins with"),
    ],
)
def test_what_cannot_be_expressed_is_refused(condition: MetadataFilter, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        filter_of(MetadataFilters(filters=[condition]))
    with pytest.raises(FilterError, match=message):
        filter_of(MetadataFilters(filters=[MetadataFilters(filters=[condition])]))


def test_another_type_is_refused() -> None:
    with pytest.raises(FilterError, match="got dict"):
        filter_of({"x": 1})  # type: ignore[arg-type]
