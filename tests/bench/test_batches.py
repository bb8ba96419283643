"""Queries a second by size of batch: what is asked, and how rates and ratios come from it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the tests of an installed package come without benchmarks/", allow_module_level=True)
QUERIES = 500


class FakeWorker:
    """Takes two seconds for a call and one more for each query, half of them of the processor."""

    def __init__(self, differences: tuple[int, ...] = ()) -> None:
        self.asked: list[tuple[int, list[int]]] = []
        self.differences = list(differences)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        if do == "differences":
            return {"differences": self.differences}
        assert do == "batches"
        numbers, size = arguments["numbers"], arguments["size"]
        self.asked.append((size, numbers))
        seconds = 2.0 * -(-len(numbers) // size) + len(numbers)
        return {"seconds": seconds, "cpu_seconds": seconds / 2}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), str(BENCHMARKS / "peers"), *sys.path])
    yield importlib.import_module("batches")
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_every_size_and_number_of_threads_is_asked_in_each_round(batches: Any) -> None:
    workers = {1: FakeWorker(), 2: FakeWorker()}
    timed = batches.ask_in_turn(workers, "sentences", QUERIES)
    assert set(timed) == {(threads, size) for threads in (1, 2) for size in batches.SIZES}
    assert all(len(rounds) == batches.ROUNDS for rounds in timed.values())
    sizes = [size for size, _ in workers[1].asked]
    assert sizes == list(batches.SIZES) * batches.ROUNDS
    assert workers[1].asked == workers[2].asked


def test_rounds_ask_other_queries_and_sizes_the_same(batches: Any) -> None:
    turn = batches.TURN
    assert batches.queries_of(0, 1, QUERIES) == batches.queries_of(0, 16, QUERIES) == list(range(turn))
    assert batches.queries_of(1, 4, QUERIES) == list(range(turn, 2 * turn))
    assert sorted(set(batches.queries_of(3, 1_000, QUERIES))) == list(range(QUERIES))
    assert len(batches.queries_of(3, 1_000, QUERIES)) == 1_000


def test_rates_and_ratios(batches: Any) -> None:
    timed = batches.ask_in_turn({2: FakeWorker()}, "sentences", QUERIES)
    lines = {line["batch"]: line for line in batches.summary(timed)}
    assert lines[1]["queries_per_second"] == pytest.approx(1 / 3, abs=0.05)
    assert lines[1]["times_single"] == lines[1]["times_single_cpu"] == 1
    assert lines[4]["times_single"] == 2  # three seconds a query one by one, one and a half in fours
    assert lines[1_000]["times_single"] == pytest.approx(3 / 1.002, abs=1e-3)
    assert lines[1_000]["queries_per_cpu_second"] == pytest.approx(2 / 1.002, abs=0.05)
    assert lines[256]["queries_timed"] == 256 * batches.ROUNDS


def test_a_batch_with_other_hits_ends_the_run(batches: Any) -> None:
    batches.check_same({1: FakeWorker()}, "questions")
    with pytest.raises(SystemExit, match=r"questions \[3\] on 2 threads"):
        batches.check_same({1: FakeWorker(), 2: FakeWorker((3,))}, "questions")


def test_a_run_takes_the_place_of_its_own_lines(batches: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "RESULTS", tmp_path / "batches.jsonl")
    rates = {"queries_per_second": 1, "queries_per_cpu_second": 1, "times_single": 1, "times_single_cpu": 1}
    line = {"documents": 9, "queries": "questions", "threads": 1, "batch": 1, **rates}
    batches.keep([line, {**line, "batch": 4}])
    batches.keep([{**line, "queries_per_second": 7}])
    assert [(x["batch"], x["queries_per_second"]) for x in batches.read_results()] == [(1, 7), (4, 1)]
