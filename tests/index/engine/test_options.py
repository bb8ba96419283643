"""A search as one object: checked, written as JSON, and read again."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import Index, SearchOptions
from polyvec.errors import InputError, PolyvecError
from tests.conftest import WordEncoder

_NAMES = st.text("abc.é水 ", min_size=1, max_size=6)
_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | _NAMES
_OPERATORS = st.sampled_from(["$eq", "$ne", "$gt", "$lte"])
_CONDITIONS = _VALUES | st.dictionaries(_OPERATORS, _VALUES) | st.fixed_dictionaries({"$in": st.lists(_VALUES)})
_FILTERS = st.recursive(
    st.dictionaries(_NAMES, _CONDITIONS, max_size=3),
    lambda inner: (
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)})
        | st.builds(lambda f: {"$not": f}, inner)
    ),
    max_leaves=5,
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "k": st.integers(1, 10_000),
    "mode": st.sampled_from(["late", "hybrid"]),
    "fusion": st.sampled_from(["rank", "weight"]),
    "weight": st.floats(0, 1),
    "min_score": st.floats(0, 1),
    "exact": st.booleans(),
    "nprobe": st.integers(1, 10_000),
    "candidates": st.integers(1, 10_000),
    "recall": st.floats(0.01, 0.99),
    "filter": _FILTERS,
    "subset": st.lists(_NAMES.filter(str.strip), max_size=5),
    "explain": st.booleans(),
    "on_missing": st.sampled_from(["partial", "error"]),
}


def test_every_field_is_drawn_below() -> None:
    assert set(_FIELDS) == {field.name for field in dataclasses.fields(SearchOptions)}


@given(st.fixed_dictionaries({}, optional=_FIELDS))
def test_what_is_written_is_read_as_it_was(values: dict[str, Any]) -> None:
    options = SearchOptions(**values)
    written = json.dumps(options.to_dict(), allow_nan=False)
    assert SearchOptions.from_dict(json.loads(written)) == options
    assert SearchOptions.from_dict(values) == options


def test_defaults_are_written_too_and_nulls_are_defaults() -> None:
    assert SearchOptions().to_dict() == {
        "k": 10, "mode": "late", "fusion": "weight", "exact": False, "nprobe": 16, "explain": False,
        "on_missing": "partial",
    }  # fmt: skip
    nulls = dict.fromkeys((field.name for field in dataclasses.fields(SearchOptions)), None)
    assert SearchOptions.from_dict(nulls) == SearchOptions.from_dict({}) == SearchOptions()
    assert SearchOptions(k=3, exact=True).updated({"k": 4, "exact": None}) == SearchOptions(k=4, exact=True)


def test_filters_are_written_in_json_values() -> None:
    given = {"year": np.int64(1999), "day": {"$gt": datetime.date(2020, 1, 2)}, "lang": {"$in": ("de", "fr")}}
    assert SearchOptions(filter=given).to_dict()["filter"] == {
        "year": 1999, "day": {"$gt": "2020-01-02"}, "lang": {"$in": ["de", "fr"]},
    }  # fmt: skip
    for wrong in ({"a": {"$in": [b"x"]}}, {"a": float("nan")}, {"a": {1: 2}}):
        with pytest.raises(InputError, match=r"^filter\.a.* is not plain JSON: "):
            SearchOptions(filter=wrong).to_dict()


@pytest.mark.parametrize("values", [{"topk": 3}, {"K": 3}, {"k": 3, "threads": 1}, {3: 3}, {"share_of_late": 0.5}])
def test_unknown_fields_are_refused(values: dict[Any, Any]) -> None:
    with pytest.raises(
        InputError, match=r"unknown field .*; expected some of k, mode, .*subset, explain, on_missing\.$"
    ):
        SearchOptions.from_dict(values)


@pytest.mark.parametrize("values", [None, 3, "k", ["k"], [("k", 3)], SearchOptions()])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(InputError, match="expected an object"):
        SearchOptions.from_dict(values)


@pytest.mark.parametrize(
    "values",
    [{"k": 0}, {"k": "3"}, {"mode": "fuzzy"}, {"exact": 1}, {"explain": "yes"}, {"filter": []}, {"subset": "a"}],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PolyvecError, match=next(iter(values))):
        SearchOptions.from_dict(values)


def test_an_index_answers_a_request_as_it_answers_its_keywords(encoder: WordEncoder, tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add({"id": f"d{i}", "text": f"red tea {i}", "year": 1990 + i} for i in range(20))
        chosen: dict[str, Any] = {
            "k": 3,
            "mode": "hybrid",
            "filter": {"year": {"$lt": 2000}},
            "subset": ["d3", "d5", "d15"],
        }
        request = json.loads(json.dumps(SearchOptions(**chosen).to_dict()))
        hits = index.search("red 5", options=SearchOptions.from_dict(request))
        assert [hit.id for hit in hits] == ["d5", "d3"]
        assert index.search("red 5", **chosen) == hits
