"""The part "anchors" of engine.py: this engine beside TACHIOM and beside a vector a document first, at many settings of each.

Every engine answers on one thread; blocks of queries go round, so that all settings meet the same moments of the machine. Times are
processor time, which leaves out waiting for others' work, and wall time beside it. Quality is overlap with the exact fp32 top
10 and top 100 of judged questions and of sentences in other languages, and nDCG@10 of all judged questions. For each
setting of a rival the fastest one of polyvec is looked for that is no worse. Lines go to results/anchors.jsonl.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from truth import exact_top, ndcg_at_10, overlap
from vectors import load_queries
from worker import Worker

RESULTS = Path(__file__).resolve().parent / "results" / "anchors.jsonl"
KEY = ("part", "engine", "documents", "point")
BLOCK = 10  # queries asked at a time
SPARSE = 5  # of the settings of SLOW, and for the top 100, one block of so many is asked
SAME_NDCG = 0.001  # a lower nDCG@10 than this below another is called worse
KINDS = ("sentences", "questions")

# By engine, each setting's options. The papers' settings are those of TACHIOM's own experiments at SIGIR 2026.
POINTS: dict[str, dict[str, dict[str, Any]]] = {
    "polyvec": {
        "default": {},
        **{f"recall {share}": {"recall": share} for share in (0.8, 0.9, 0.95)},
        **{
            f"{nprobe} x {candidates}": {"nprobe": nprobe, "candidates": candidates}
            for nprobe, candidates in (
                (1, 64), (2, 64), (2, 128), (2, 256), (4, 128), (4, 256), (4, 512), (8, 256), (8, 512), (8, 1024), (16, 512),
                (16, 1024), (16, 4096), (32, 8192),
            )
        },
        "exact": {"exact": True},
    },
    "tachiom": {
        "default": {},
        "paper, MRR 39.0": {"ef_search": 30, "k_centroids": 20, "k_docs_to_score": 250, "alpha": 0.45},
        "paper, MRR 39.3": {"ef_search": 45, "k_centroids": 30, "k_docs_to_score": 250, "alpha": 0.35},
        "paper, MRR 39.6": {"ef_search": 60, "k_centroids": 40, "k_docs_to_score": 500, "alpha": 0.35},
        "paper, LoTTE 68.5": {"ef_search": 40, "k_centroids": 25, "k_docs_to_score": 500, "alpha": 0.4},
        "narrow": {"ef_search": 15, "k_centroids": 10, "k_docs_to_score": 100, "alpha": 0.45},
        "beta 20": {"beta": 20},
        "alpha .6": {"alpha": 0.6},
        "no alpha": {"alpha": None},
        "wide": {"ef_search": 60, "k_centroids": 40, "k_docs_to_score": 2000, "alpha": None},
    },
    "kannolo": {
        **{f"best {best}": {"best": best, "ef_search": best} for best in (20, 50, 100, 200, 500)},
        "best 50, ef 200": {"best": 50, "ef_search": 200},
        "best 2000": {"best": 2000, "ef_search": 2000},
    },
}  # fmt: skip
SLOW = {("polyvec", "exact"), ("tachiom", "no alpha"), ("tachiom", "wide")}
Point = tuple[str, str]


def anchors(bench: Any, documents: int) -> None:
    """Measure every engine whose index is there, in one run, and write its lines."""
    nbits = bench.given.nbits[0]
    built = {engine: bench.built(engine, nbits, documents) for engine, _ in bench.contestants(documents)}
    with ExitStack() as stack:
        workers = {e: stack.enter_context(bench.worker(e, nbits, documents, 1)) for e in built}
        opened = {engine: worker.ask("open") for engine, worker in workers.items()}
        asked_of = {"sentences": bench.given.blocks * BLOCK, "questions": bench.given.judged}
        asked = [(engine, point) for engine in workers for point in POINTS[engine]]
        answers = {kind: ask_in_turn(workers, asked, kind, count) for kind, count in asked_of.items()}
        hundred = {kind: ask_hundred(workers, asked, kind, count) for kind, count in asked_of.items()}
        memory = {engine: worker.ask("memory") for engine, worker in workers.items()}
    cache = bench.given.vectors_of(documents)
    truth = {kind: exact_top(cache, documents, kind, count) for kind, count in asked_of.items()}
    relevant = load_queries(cache, "questions").relevant[: bench.given.judged]
    names = truth["questions"].names
    common = {"documents": documents, "tokens": truth["questions"].tokens}
    lines = [{"part": "exact", **common, "ndcg10": ndcg_at_10(truth["questions"].rows, names, relevant)}]
    for engine, made in built.items():
        about = {"engine": engine, "version": opened[engine]["version"], **opened[engine]["about"]}
        lines.append({"part": "engine", **common, **about, **sizes(made, opened[engine], memory[engine])})
    points = {}
    for engine, point in asked:
        answer = {kind: answers[kind][engine, point] for kind in KINDS}
        found = points[engine, point] = {
            "engine": engine, "version": opened[engine]["version"], "point": point, "options": POINTS[engine][point],
            **quality(answer, {kind: hundred[kind][engine, point] for kind in KINDS}, truth),
            "ndcg10": None if (engine, point) in SLOW else ndcg_at_10(answer["questions"].hits, names, relevant),
            **times(answer),
        }  # fmt: skip
        lines.append({"part": "point", **common, **found})
    lines += [{"part": "equal", **common, **line} for line in at_equal_quality(points, answers["sentences"])]
    keep(bench, lines)


class Answers:
    """What one setting answered: numbers of the queries, their hits, and per block the seconds of each query."""

    def __init__(self) -> None:
        self.queries: list[int] = []
        self.hits: list[list[int]] = []
        self.wall: list[list[float]] = []
        self.cpu: list[list[float]] = []
        self.blocks: list[int] = []

    def add(self, block: int, answer: dict[str, Any]) -> None:
        self.queries += range(BLOCK * block, BLOCK * block + len(answer["hits"]))
        self.hits += answer["hits"]
        self.wall.append(answer["seconds"])
        self.cpu.append(answer["cpu_seconds"])
        self.blocks.append(block)


def ask_in_turn(workers: dict[str, Worker], asked: list[Point], kind: str, count: int) -> dict[Point, Answers]:
    """The top ten of the first `count` queries, block after block, each setting in turn; the first block is asked twice."""
    found = {point: Answers() for point in asked}
    for turn in range(-1, -(-count // BLOCK)):
        block = max(turn, 0)
        for engine, point in asked:
            if (engine, point) in SLOW and turn % SPARSE:
                continue
            rest = {"first": BLOCK * block, "count": min(BLOCK, count - BLOCK * block), "k": 10}
            answer = workers[engine].ask("search", kind=kind, options=POINTS[engine][point], **rest)
            if turn >= 0:
                found[engine, point].add(block, answer)
    return found


def ask_hundred(workers: dict[str, Worker], asked: list[Point], kind: str, count: int) -> dict[Point, Answers]:
    """The top hundred of every fifth block of queries. What is slow at the top ten is left out."""
    found: dict[Point, Answers] = {}
    for engine, point in asked:
        if (engine, point) not in SLOW:
            kept = found[engine, point] = Answers()
            for block in range(0, -(-count // BLOCK), SPARSE):
                rest = {"first": BLOCK * block, "count": min(BLOCK, count - BLOCK * block), "k": 100}
                kept.add(block, workers[engine].ask("search", kind=kind, options=POINTS[engine][point], **rest))
        else:
            found[engine, point] = Answers()
    return found


def quality(ten: dict[str, Answers], hundred: dict[str, Answers], truth: dict[str, Any]) -> dict[str, float | None]:
    """Overlap with the exact top 10 and top 100, by kind of query; None where nothing was asked."""
    found: dict[str, float | None] = {}
    for k, answers in ((10, ten), (100, hundred)):
        for kind in KINDS:
            answer = answers[kind]
            rows = truth[kind].rows[answer.queries]
            found[f"overlap{k}_{kind}"] = overlap(answer.hits, rows, k) if answer.hits else None
    return found


def times(answers: dict[str, Answers]) -> dict[str, Any]:
    """Milliseconds of single queries: median and 95th percentile of processor time and of wall time."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        for clock, blocks in (("cpu", answers[kind].cpu), ("wall", answers[kind].wall)):
            flat = 1e3 * np.concatenate(blocks)
            for percent in (50, 95):
                found[f"{clock}_p{percent}_ms_{kind}"] = round(float(np.percentile(flat, percent)), 3)
    return {**found, "queries_timed": sum(map(len, answers["sentences"].cpu))}


def at_equal_quality(points: dict[Point, dict[str, Any]], answers: dict[Point, Answers]) -> list[dict[str, Any]]:
    """For each setting of a rival the fastest one of polyvec that is no worse, and how many times as fast it is.

    No worse: overlap@10 of questions and of sentences at least as high, nDCG@10 at most .001 lower. How many times: the
    median over blocks of the ratio of processor times, of sentences.
    """
    ours = [(point, values) for (engine, point), values in points.items() if engine == "polyvec"]
    found = []
    for (engine, point), values in points.items():
        if engine == "polyvec":
            continue
        fit = [(own["cpu_p50_ms_sentences"], name) for name, own in ours if no_worse(own, values)]
        chosen = min(fit)[1] if fit else None
        faster = None if chosen is None else ratio(answers[engine, point], answers["polyvec", chosen])
        found.append({"engine": engine, "point": point, "polyvec": chosen, "polyvec_is_faster_by": faster})
    return found


def no_worse(ours: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one setting's quality is at least another's, as `at_equal_quality` has it; by overlap alone where one was SLOW."""
    overlaps = all(ours[f"overlap10_{kind}"] >= other[f"overlap10_{kind}"] for kind in KINDS)
    unknown = ours["ndcg10"] is None or other["ndcg10"] is None
    return overlaps and (unknown or ours["ndcg10"] >= other["ndcg10"] - SAME_NDCG)


def ratio(other: Answers, ours: Answers) -> float:
    """Median over the blocks that both answered of how many times the processor time of ours the other took."""
    own = dict(zip(ours.blocks, ours.cpu, strict=True))
    both = zip(other.blocks, other.cpu, strict=True)
    return round(float(np.median([sum(cpu) / sum(own[block]) for block, cpu in both if block in own])), 2)


def sizes(made: dict[str, Any], opened: dict[str, Any], memory: dict[str, int]) -> dict[str, Any]:
    """What building took, and what the index takes on disk and in memory."""
    return {
        "build_seconds": round(made["seconds"], 1),
        "build_cpu_seconds": round(made["cpu_seconds"], 1),
        "build_threads": made.get("threads"),
        "build_peak_mb": round(made["peak_bytes"] / 1e6),
        "bytes_per_token": round(opened["index_bytes"] / made["tokens"], 2),
        "resident_mb": round(memory["resident"] / 1e6),
        "anonymous_mb": round(memory["anonymous"] / 1e6),
    }


def read_results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def keep(bench: Any, lines: list[dict[str, Any]]) -> None:
    """Write one run's lines in the place of all of this size: they are to be compared with each other."""
    (documents,) = {line["documents"] for line in lines}
    kept = [line for line in read_results() if line["documents"] != documents]
    new = [{"benchmark": "anchors", **line, **bench.said()} for line in lines]
    ordered = sorted([*kept, *new], key=lambda line: int(line["documents"]))
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in ordered), encoding="utf-8")
    for line in lines:
        print(" ".join(f"{name}={value}" for name, value in line.items() if value is not None), flush=True)
