"""Filters mean the same translated as in Haystack's own evaluation, for generated filters and metadata."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

pytest.importorskip("haystack", reason="haystack-ai is not installed")

from haystack import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from polyvec.index.catalog.filters import compile_filter, matches
from polyvec.integrations.haystack.documents import row_of
from polyvec.integrations.haystack.filters import filter_of

pytestmark = pytest.mark.heavy

DATES = [
    "2020-01-01",
    "2020-01-01T00:00:00",
    "2020-01-01 00:00",
    "2020-01-01T00:00:00Z",
    "2020-01-01T01:00:00+01:00",
    "2019-12-31T24:00",
    "2019-12-31T23:30:00-01:00",
    "2020-01-01T00:00:00.000001",
    "2020-01-02",
]
numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0, 1e300])
words = st.sampled_from(["a", "b", "2", "", "2020", "True"])
dates = st.sampled_from(DATES)
scalars = st.none() | st.booleans() | numbers | words | dates
moments = st.sampled_from([datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2020, 1, 2)])
names = st.sampled_from(["x", "y", "in"])
metadata = st.dictionaries(
    names, scalars | st.dictionaries(st.sampled_from(["x", "in"]), scalars, max_size=2), max_size=3
)
fields = st.sampled_from(["meta.x", "meta.y", "x", "meta.in.x", "meta.in.in", "meta.in"])


def _comparisons(operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"field": fields, "operator": st.sampled_from(operators), "value": values})


comparisons = (
    _comparisons(["==", "!="], scalars | moments)
    | _comparisons(["in", "not in"], st.lists(scalars | moments, max_size=3))
    | _comparisons([">", ">=", "<", "<="], st.none() | st.booleans() | numbers | dates | moments)
)
filters = st.recursive(
    comparisons,
    lambda inner: st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)


@given(condition=filters, meta=metadata)
@example(condition={"field": "meta.x", "operator": "==", "value": 1}, meta={"x": True})
@example(condition={"field": "meta.x", "operator": "<", "value": "2020-01-01T00:30:00+02:00"}, meta={"x": DATES[4]})
def test_a_filter_means_the_same_translated(condition: dict[str, Any], meta: dict[str, Any]) -> None:
    document = Document(id="d", content="text", meta=meta)
    try:
        expected = document_matches_filter(condition, document)
    except (FilterError, TypeError):  # a number beside a date: Haystack refuses the document, an index passes it over
        assume(False)
    translated = filter_of(condition)
    assert translated is not None
    compile_filter(translated)
    assert matches(translated, row_of(document).metadata) == expected


@given(value=words, operator=st.sampled_from([">", ">=", "<", "<="]))
def test_strings_that_are_no_dates_have_no_order(value: str, operator: str) -> None:
    with pytest.raises(FilterError, match="no ISO 8601 date"):
        filter_of({"field": "meta.x", "operator": operator, "value": value})


def test_no_filter_is_for_all_documents() -> None:
    assert filter_of(None) is None
    assert filter_of({}) is None


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"operator": "AND"}, "'conditions' is missing"),
        ({"conditions": []}, "'operator' is missing"),
        ({"operator": "AND", "conditions": {"field": "x"}}, "expected a list"),
        ({"operator": "AND", "conditions": [3]}, "expected a dict"),
        ({"operator": "XOR", "conditions": []}, "Unknown logical operator 'XOR'"),
        ({"field": "meta.x", "operator": "=="}, "'value' is missing"),
        ({"field": "meta.x", "operator": "like", "value": 1}, "Unknown comparison operator 'like'"),
        ({"field": "meta.x", "operator": "in", "value": "abc"}, "expected a list"),
        ({"field": "meta.x", "operator": "==", "value": [1]}, "a list"),
        ({"field": "meta.x", "operator": "==", "value": {"a": 1}}, "a dict"),
        ({"field": "meta.x", "operator": ">", "value": [1]}, "a list"),
        ({"field": "content", "operator": "==", "value": "a"}, "Expected a field of the metadata"),
        ({"field": "person.name", "operator": "==", "value": "a"}, "Expected a field of the metadata"),
        ({"field": "meta.$x", "operator": "==", "value": "a"}, "begins with"),
        ({"field": 3, "operator": "==", "value": "a"}, "expected a string"),
    ],
)
def test_what_cannot_be_expressed_is_refused(condition: dict[str, Any], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        filter_of(condition)
