"""Measures: worked out by hand, all judged queries counted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from polyvec.data import read_qrels, read_run
from polyvec.errors import InputError
from polyvec.evaluation.measures import compute_measures, ranked

FIXTURES = Path(__file__).parent / "trec_eval"
NAMES = {
    "map": "AP",
    "recip_rank": "RR",
    "ndcg": "nDCG",
    "ndcg_cut_10": "nDCG@10",
    "ndcg_cut_5": "nDCG@5",
    "recall_100": "R@100",
    "recall_10": "R@10",
    "success_5": "Success@5",
    "success_1": "Success@1",
    "P_10": "P@10",
    "Rprec": "Rprec",
}

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


def test_the_output_of_trec_eval() -> None:
    """Ties, scores that float32 cannot tell apart, negative and graded judgments, queries without hits or judgments.

    output.txt is what trec_eval prints for these files with -q -c and these measures.
    """
    qrels, run = read_qrels(FIXTURES / "qrels.txt"), read_run(FIXTURES / "run.txt")
    ours = compute_measures(qrels, run, list(NAMES.values()))
    seen = set()
    for line in (FIXTURES / "output.txt").read_text(encoding="utf-8").splitlines():
        measure, query_id, value = line.split()
        seen.add(query_id)
        values = [ours[query_id]] if query_id != "all" else list(ours.values())
        found = sum(row[NAMES[measure]] for row in values) / len(values)
        assert found == pytest.approx(float(value), abs=1e-4), line
    assert set(ours) - seen == {"q03", "q10", "q17"}, "judged, without hits: trec_eval has no line for them"
    assert all(value == 0 for query_id in ("q03", "q10", "q17") for value in ours[query_id].values())
    assert "unjudged" not in ours


def test_ties_rank_the_later_id_first() -> None:
    assert ranked({"a": 1.0, "c": 1.0, "b": 2.0, "d": 1.0 + 1e-9}) == ["b", "d", "c", "a"]
    values = compute_measures({"q": {"a": 1}}, {"q": {"a": 1.0, "b": 1.0}}, ["RR", "RR@10", "RR@1", "nDCG@10", "P@1"])
    expected = {"RR": 0.5, "RR@10": 0.5, "RR@1": 0.0, "nDCG@10": 1 / math.log2(3), "P@1": 0.0}
    assert values["q"] == pytest.approx(expected)
