"""Filters: SQL and the definition agree on anything, and nothing in a filter is ever SQL."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import FilterError
from polyvec.index.filters import compile_filter, matches
from tests.conftest import WordEncoder

NAMES = st.sampled_from(["a", "b", "lang", "x y", "ñ", "a'b", "or 1=1", "%", "?"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([0.5, -1.0, 2.0, 1e300]),
    st.sampled_from(["", "de", "é", "z", "1", "'; DROP TABLE documents; --", '"', "%"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
METADATA = st.dictionaries(NAMES, VALUES, max_size=4)
ORDERED = st.one_of(st.integers(-5, 5), st.sampled_from([0.5, "de", "é", ""]))
OPERATORS = st.one_of(
    SCALARS,
    st.fixed_dictionaries({"$eq": SCALARS}),
    st.fixed_dictionaries({"$ne": SCALARS}),
    st.fixed_dictionaries({"$gt": ORDERED, "$lte": ORDERED}),
    st.fixed_dictionaries({"$gte": ORDERED}),
    st.fixed_dictionaries({"$lt": ORDERED}),
    st.fixed_dictionaries({"$in": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$not": st.fixed_dictionaries({"$gte": ORDERED})}),
)
FIELDS = st.one_of(NAMES, st.tuples(NAMES, NAMES).map(".".join))
FILTERS = st.recursive(
    st.dictionaries(FIELDS, OPERATORS, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


@settings(max_examples=800, deadline=None)
@given(condition=FILTERS, rows=st.lists(METADATA, min_size=1, max_size=5))
def test_sql_and_the_definition_agree(condition: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (row INTEGER PRIMARY KEY, metadata TEXT)")
    connection.executemany(
        "INSERT INTO documents VALUES (?, ?)", enumerate(json.dumps(row, ensure_ascii=False) for row in rows)
    )
    sql, parameters = compile_filter(condition)
    found = [row for (row,) in connection.execute(f"SELECT row FROM documents WHERE {sql} ORDER BY row", parameters)]
    connection.close()
    assert found == [i for i, row in enumerate(rows) if matches(condition, row)]


@pytest.mark.parametrize(
    ("condition", "metadata", "expected"),
    [
        ({}, {}, True),
        ({"lang": "de"}, {"lang": "de"}, True),
        ({"lang": "de"}, {"lang": ["en", "de"]}, True),
        ({"year": {"$gte": 2000, "$lt": 2010}}, {"year": 2009.5}, True),
        ({"year": {"$gte": 2000}}, {"year": "2009"}, False),
        ({"flag": 1}, {"flag": True}, False),
        ({"a.b": 3}, {"a": {"b": 3}}, True),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$exists": False}}, {"a": None}, False),
        ({"$or": [{"a": 1}, {"b": 2}]}, {"b": 2}, True),
        ({"$not": {"a": 1}}, {"a": 1}, False),
        ({"a": {"$nin": ["x"]}}, {"a": ["x", "y"]}, False),
    ],
)
def test_what_filters_mean(condition: dict[str, Any], metadata: dict[str, Any], expected: bool) -> None:
    assert matches(condition, metadata) is expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ([], "expected an object"),
        ({"a": {"$regex": "x"}}, r"filter\.a: unknown operator '\$regex'"),
        ({"$where": "1"}, r"unknown operator '\$where'"),
        ({"$and": []}, r"filter\.\$and: got \[\]"),
        ({"$or": {"a": 1}}, "expected a list of filters"),
        ({"a": {"$gt": True}}, "expected a number or a string"),
        ({"a": [1]}, "expected a string, a number"),
        ({"a": {"b": 1}}, "expected a string, a number"),
        ({"a": float("nan")}, "not a number that the index can hold"),
        ({"a": 2**63}, "not a number that the index can hold"),
        ({"a": {"$exists": 1}}, "expected true or false"),
        ({"a": {"$in": "de"}}, "expected a list"),
        ({'a"b': 1}, "must not be empty or hold quotes"),
        ({"a..b": 1}, "must not be empty"),
        ({"": 1}, "must not be empty"),
        ({3: 1}, "key 3, expected a string"),
        ({"a": "\0"}, "NUL"),
        ({"a": {"$not": 3}}, "expected operators"),
    ],
)
def test_bad_filters_are_named(condition: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        compile_filter(condition)


def test_depth_is_bounded() -> None:
    condition: dict[str, Any] = {"a": 1}
    for _ in range(40):
        condition = {"$not": condition}
    with pytest.raises(FilterError, match="nested more than"):
        compile_filter(condition)


@pytest.mark.parametrize("mode", ["late", "keyword", "hybrid"])
def test_search_sees_only_what_passes(tmp_path: Path, encoder: WordEncoder, mode: str) -> None:
    index = Index.create(tmp_path / "f.polyvec", encoder=encoder)  # type: ignore[arg-type]
    index.add(
        [
            {"id": f"d{i}", "text": f"same words {i}", "lang": "de" if i % 2 else "en", "year": 2000 + i}
            for i in range(20)
        ]
    )

    def ids(**settings: Any) -> list[str]:
        return [hit.id for hit in index.search("same words", k=50, mode=mode, **settings)]  # type: ignore[call-overload]

    assert ids(filter={"lang": "de", "year": {"$gte": 2015}}) == ["d15", "d17", "d19"]
    assert ids(filter={"lang": "de"}, subset=["d1", "d2", "d3"]) == ["d1", "d3"]
    assert ids(filter={"lang": "fr"}) == []
    index.delete(["d17"])
    assert ids(filter={"lang": "de", "year": {"$gte": 2015}}) == ["d15", "d19"]
    index.compact()
    assert ids(filter={"lang": "de", "year": {"$gte": 2015}}) == ["d15", "d19"]
    with pytest.raises(FilterError, match=r"\$like"):
        ids(filter={"lang": {"$like": "d%"}})
