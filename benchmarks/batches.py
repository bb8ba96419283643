"""The part "batches" of engine.py: queries a second of this engine by how many are asked at once and on how many threads.

All batch sizes and numbers of threads take turns, round after round, so that all meet the same moments of the machine. A ratio is
the median over rounds of the ratio within one. Each round asks other queries, the same of every size up to 64 and more of larger
ones. Processor time stands beside wall time: it leaves out waiting for others' work. Before anything is timed, the hits and scores
of a batch are compared with those of the same queries asked alone. Lines go to results/batches.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from vectors import load_queries

RESULTS = Path(__file__).resolve().parent / "results" / "batches.jsonl"
KEY = ("documents", "queries", "threads", "batch")
KINDS = ("sentences", "questions")
SIZES = (1, 4, 16, 64, 256, 1_000)
TURN = 128  # queries that each size answers in a round, at least
ROUNDS = 4
COMPARED = 64  # queries whose hits in a batch are compared with those they have alone


def batches(bench: Any, documents: int) -> None:
    """Measure every size, kind of query and number of threads in one run, and write its lines."""
    nbits = bench.given.nbits[0]
    with ExitStack() as stack:
        workers = {t: stack.enter_context(bench.worker("polyvec", nbits, documents, t)) for t in bench.given.threads}
        for worker in workers.values():
            worker.ask("open")
        for kind in KINDS:
            available = len(load_queries(bench.given.vectors_of(documents), kind).vectors)
            check_same(workers, kind)
            lines = summary(ask_in_turn(workers, kind, available))
            about = {"documents": documents, "queries": kind, "distinct": min(available, max(SIZES)), "nbits": nbits}
            keep([{"benchmark": "batches", **about, **line, **bench.said()} for line in lines])


def check_same(workers: dict[int, Any], kind: str) -> None:
    """Raises SystemExit where a query has another answer in a batch than alone."""
    for threads, worker in workers.items():
        numbers = list(range(COMPARED))
        found = worker.ask("differences", kind=kind, numbers=numbers, k=10, options={})["differences"]
        if found:
            raise SystemExit(
                f"{kind} {found} on {threads} threads: a batch gave other hits or scores than single queries."
            )


Timed = dict[tuple[int, int], list[tuple[int, float, float]]]


def ask_in_turn(workers: dict[int, Any], kind: str, available: int) -> Timed:
    """By (threads, size), of each round: queries, seconds, seconds of the processor. Comparing has warmed up before."""
    found: Timed = {}
    for turn in range(ROUNDS):
        for size in SIZES:
            for threads, worker in workers.items():
                numbers = queries_of(turn, size, available)
                answer = worker.ask("batches", kind=kind, numbers=numbers, size=size, k=10, options={})
                took = (len(numbers), answer["seconds"], answer["cpu_seconds"])
                found.setdefault((threads, size), []).append(took)
    return found


def queries_of(turn: int, size: int, available: int) -> list[int]:
    """The queries that a size asks in a round: numbers below `available`, again from 0 after the last."""
    count = max(size, TURN)
    return [(turn * TURN + i) % available for i in range(count)]


def summary(timed: Timed) -> list[dict[str, Any]]:
    """A line for each number of threads and size: rates over all rounds, and medians of ratios to single queries."""
    lines = []
    for (threads, size), rounds in timed.items():
        asked, seconds, cpu_seconds = (np.array(column, float) for column in zip(*rounds, strict=True))
        single, single_cpu = _per_query(timed[threads, 1])
        lines.append(
            {
                "threads": threads,
                "batch": size,
                "queries_per_second": round(float(np.median(asked / seconds)), 1),
                "queries_per_cpu_second": round(float(np.median(asked / cpu_seconds)), 1),
                "times_single": round(float(np.median(single / (seconds / asked))), 3),
                "times_single_cpu": round(float(np.median(single_cpu / (cpu_seconds / asked))), 3),
                "queries_timed": int(asked.sum()),
            }
        )
    return lines


def _per_query(rounds: Sequence[tuple[int, float, float]]) -> tuple[Any, Any]:
    """Seconds, and seconds of the processor, a query in each round."""
    asked, seconds, cpu_seconds = (np.array(column, float) for column in zip(*rounds, strict=True))
    return seconds / asked, cpu_seconds / asked


def read_results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def keep(lines: list[dict[str, Any]]) -> None:
    """Write lines in the place of older ones of the same kind."""
    new = {tuple(line[name] for name in KEY): line for line in lines}
    kept = {tuple(line[name] for name in KEY): line for line in read_results()}
    ordered = [line for _, line in sorted({**kept, **new}.items())]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in ordered), encoding="utf-8")
    for line in lines:
        shown = (*KEY, "queries_per_second", "queries_per_cpu_second", "times_single", "times_single_cpu")
        print(" ".join(f"{name}={line[name]}" for name in shown), flush=True)
