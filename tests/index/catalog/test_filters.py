"""Filters: SQL and the definition agree on anything, and nothing in a filter is ever SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import FilterError
from polyvec.index.catalog.documents_table import DOCUMENTS_SCHEMA, DocumentsTable, StoredDocument
from polyvec.index.catalog.filters import compile_filter, matches
from tests.conftest import WordEncoder

NAMES = st.sampled_from(
    [
        "a",
        "b",
        "a.b",
        "lang",
        "x y",
        "ñ",
        "n\u0303",
        "a'b",
        'a"b',
        "a\\b",
        "a]b",
        "[0]",
        "",
        "\n",
        "%",
        "%22",
        "?",
        "a.b.a",
        "ａ",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(
        [0.5, -1.0, 2.0, 1e300, 0.1, 5e-324, 0.1 + 0.2, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63)]
    ),
    st.sampled_from(
        [
            "",
            "de",
            "é",
            "e\u0301",
            "É",
            "ﬁ",
            "fi",
            "so\u00adft",
            "soft",
            "z",
            "1",
            "'; DROP TABLE documents; --",
            '"',
            "%",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
METADATA = st.dictionaries(NAMES, VALUES | st.sampled_from([2**63, -(2**70), 10**400]), max_size=4)
ORDERED = st.one_of(st.integers(-5, 5), st.sampled_from([0.5, 0.1, 2**53 + 1, "de", "é", "e\u0301", ""]))
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
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=4)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


@settings(max_examples=800, deadline=None)
@given(condition=FILTERS, rows=st.lists(METADATA, min_size=1, max_size=5))
def test_sql_and_the_definition_agree(condition: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    with stored(rows) as table:
        assert table.rows_where(condition).tolist() == [i for i, row in enumerate(rows) if matches(condition, row)]


class InMemory:
    """What a table needs of a connection, without a file."""

    def __init__(self) -> None:
        self._raw = sqlite3.connect(":memory:", isolation_level=None)
        self.close = self._raw.close
        self.executemany = self._raw.executemany

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._raw.execute(statement, parameters).fetchall()


@contextmanager
def stored(rows: list[dict[str, Any]]) -> Iterator[DocumentsTable]:
    """A table of documents in memory, row i with the i-th metadata."""
    connection = InMemory()
    for statement in DOCUMENTS_SCHEMA.split(";\n"):
        connection.execute(statement)
    table = DocumentsTable(connection, Path("memory"), pinned=False)  # type: ignore[arg-type]
    table.insert_documents(StoredDocument(i, str(i), None, row, 1, False) for i, row in enumerate(rows))
    yield table
    connection.close()


SMALL = [{"n": i, "s": str(i), "deep": {"n": i}} for i in range(40)]


@settings(max_examples=60, deadline=None)
@given(
    condition=st.recursive(
        st.fixed_dictionaries({"n": st.integers(0, 50)})
        | st.fixed_dictionaries({"deep.n": st.fixed_dictionaries({"$gt": st.integers(0, 50)})}),
        lambda inner: st.one_of(
            st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"$not": inner}),
        ),
    ),
    times=st.integers(1, 400),
    word=st.sampled_from(["$and", "$or"]),
)
def test_size_changes_nothing(condition: dict[str, Any], times: int, word: str) -> None:
    large = {word: [{"$not": {"s": {"$gte": f"{i}"}}} for i in range(times)] + [condition] * times, "n": {"$ne": 7}}
    with stored(SMALL) as table:
        assert table.rows_where(large).tolist() == [i for i, row in enumerate(SMALL) if matches(large, row)]


@pytest.mark.parametrize(
    "condition",
    [
        {"n": {"$in": list(range(30_000))}},
        {"s": {"$in": [str(i) for i in range(30_000)]}},
        {"n": {"$nin": [*range(40, 9_000), "1", None, True, 0.5]}},
        {"$or": [{"n": i} for i in range(20_000)]},
        {"$or": [{"deep.n": {"$gte": i}} for i in range(3_000)]},
        {"$and": [{"deep.n": {"$lt": 40 + i}} for i in range(3_000)]},
        {f"absent{i}": {"$exists": False} for i in range(3_000)},
        {"$not": {"$or": [{"n": {"$gt": 50 + i}} for i in range(3_000)]}},
        {"$or": [{"n": 1}, {"$not": {"$and": [{"n": {"$lt": 100 + i}} for i in range(3_000)] + [{"n": -1}]}}]},
    ],
)
def test_filters_of_thousands_of_parts(condition: dict[str, Any]) -> None:
    with stored(SMALL) as table:
        assert table.rows_where(condition).tolist() == list(range(40))


def test_a_filter_as_deep_as_allowed_and_wide() -> None:
    condition: dict[str, Any] = {"$or": [{"n": {"$gt": i}} for i in range(600)]}
    for _ in range(30):
        condition = {"$and": [{"$not": {"$not": {"n": {"$gte": 0}}}}, condition]}
    with stored(SMALL) as table:
        assert table.rows_where(condition).tolist() == list(range(1, 40))


@settings(max_examples=300, deadline=None)
@given(name=st.text(max_size=8).filter(lambda name: not name.startswith("$")), value=SCALARS)
def test_any_field_can_be_asked_for(name: str, value: Any) -> None:
    if "\0" in name:
        with pytest.raises(FilterError, match="NUL"):
            compile_filter({name: value})
        return
    nested: Any = value
    for part in reversed(name.split(".")):
        nested = {part: nested}
    with stored([{name: value}, nested, {"other": value}, {"outer": {name: value}}]) as table:
        if name != "other":
            assert table.rows_where({name: value}).tolist()[:2] == [0, 1]
            assert table.rows_where({name: {"$exists": True}}).tolist()[:2] == [0, 1]
        assert 3 in table.rows_where({f"outer.{name}": value}).tolist()


def test_metadata_is_given_back_as_it_came() -> None:
    metadata = {"city": "Zu\u0308rich", "ｋ": ["ﬁ"], "a": {"b.c": 1}, "a.b": {"c": 2}}
    with stored([metadata]) as table:
        assert table.documents([0])[0].metadata == metadata
        for condition in ({"city": "Zürich"}, {"k": "fi"}, {"a.b.c": 1}, {"a.b.c": 2}, {"a.b.c": {"$in": [2, 3]}}):
            assert table.rows_where(condition).tolist() == [0], condition
        for condition in ({"city": "zürich"}, {"city": "Zurich"}, {"a.b.c": 3}):
            assert table.rows_where(condition).tolist() == [], condition


def test_a_hundred_thousand_ids_as_subset(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add([{"id": f"d{i}", "text": f"word{i} same"} for i in range(5)])
        subset = [f"d{i}" for i in range(1, 100_001)]
        for mode in ("late", "keyword", "hybrid"):
            hits = index.search("same", subset=subset, mode=mode)  # type: ignore[call-overload]
            assert sorted(hit.id for hit in hits) == ["d1", "d2", "d3", "d4"]


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
        ({"a.b": 3}, {"a.b": 3}, True),
        ({"a.b": 3}, {"a": {"b": 4}, "a.b": 3}, True),
        ({"a.b": {"$ne": 3}}, {"a": {"b": 4}, "a.b": 3}, False),
        ({"x.a.b": 3}, {"x": {"a.b": 3}}, True),
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
        ({"a\0b": 1}, "holds a NUL"),
        ({"\ud800": 1}, "lone surrogate"),
        ({"$or": [{"a": 1}, {"b": float("nan")}]}, r"filter\.\$or\[1\]\.b: nan is not a number"),
        ({"$or": [{"a": float("inf")}, {"a": 1}]}, r"filter\.\$or\[0\]\.a: inf is not a number"),
        ({"a": {"$in": [1, 2.0, float("nan")]}}, "nan is not a number"),
        ({"a": {"$gt": float("nan")}}, "nan is not a number"),
        ({"a": 10**6000}, "a whole number of 19932 bits"),
        ({"a": {"$in": range(3)}}, "expected a list"),
        ({"a": {"$in": [0] * 100_001}}, "got 100001 values, expected a list of at most 100000"),
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
    index = Index.create(tmp_path / "f.polyvec", encoder=encoder)
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
