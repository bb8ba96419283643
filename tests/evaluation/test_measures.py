"""Measures: worked out by hand, all judged queries counted."""

from __future__ import annotations

import math

import pytest

from polyvec.errors import InputError
from polyvec.evaluation.measures import compute_measures

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 1}}
RUN = {"q1": {"c": 3.0, "b": 2.0, "x": 1.5, "a": 1.0}, "q2": {"d": 1.0}, "unjudged": {"a": 1.0}}


def test_graded_missing_and_unjudged_queries() -> None:
    values = compute_measures(QRELS, RUN, ["nDCG@10", "RR@10", "R@100"])
    gained = 1 / math.log2(3) + 2 / math.log2(5)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert values["q1"]["nDCG@10"] == pytest.approx(gained / ideal)
    assert values["q1"]["RR@10"] == pytest.approx(0.5)
    assert values["q1"]["R@100"] == pytest.approx(1.0)
    assert values["q2"] == {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}
    assert values["q3"] == {"nDCG@10": 0.0, "RR@10": 0.0, "R@100": 0.0}
    assert set(values) == set(QRELS)


def test_an_empty_run_is_worth_nothing() -> None:
    assert compute_measures(QRELS, {}, ["nDCG@10"]) == {q: {"nDCG@10": 0.0} for q in QRELS}


def test_an_unknown_measure_is_named() -> None:
    with pytest.raises(InputError, match="Goodness"):
        compute_measures(QRELS, RUN, ["Goodness@10"])
