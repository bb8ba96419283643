"""Conditions that several frameworks share mean what Python's comparison means."""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.index.catalog.filters import compile_filter, matches
from polyvec.integrations.conditions import EVERYTHING, NOTHING, all_of, any_of, equal_to, one_of, ordered

numbers = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, -1.5])
values = numbers | st.sampled_from(["", "a", "b", "1"])


def _holds(condition: dict[str, Any], value: Any) -> bool:
    compile_filter(condition)
    return matches(condition, {"x": value})


@given(value=values, wanted=st.lists(values, max_size=3))
def test_equality_is_pythons(value: Any, wanted: list[Any]) -> None:
    assert _holds(one_of("x", wanted), value) == (value in wanted)
    for one in wanted:
        assert _holds(equal_to("x", one), value) == (value == one)


@pytest.mark.parametrize(("name", "compare"), [("$gt", gt), ("$gte", ge), ("$lt", lt), ("$lte", le)])
@given(value=values, limit=values)
def test_order_is_pythons(name: str, compare: Callable[[Any, Any], bool], value: Any, limit: Any) -> None:
    alike = isinstance(value, str) == isinstance(limit, str)
    assert _holds(ordered("x", name, limit), value) == (alike and compare(value, limit))


def test_combinations_of_none_one_and_two() -> None:
    a, b = {"x": {"$gt": 0}}, {"x": {"$lt": 9}}
    assert all_of([]) is EVERYTHING
    assert any_of([]) is NOTHING
    assert all_of([a]) is any_of([a]) is a
    assert _holds(EVERYTHING, 1)
    assert not _holds(NOTHING, 1)
    assert _holds(all_of([a, b]), 5)
    assert not _holds(all_of([a, b]), 10)
    assert _holds(any_of([a, b]), 10)
