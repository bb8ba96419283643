"""How fast, how good and how large is a compressed index, beside ColBERT's PLAID and other engines on the same vectors?

    python benchmarks/engine.py --cache VECTORS --peers FOLDER --part build search batch ... [--documents 40000 100000]

VECTORS is what benchmarks/vectors.py made, FOLDER what benchmarks/peers/install.sh made. Every engine runs in a process of its
own, held to the processors it may use, and answers the same queries in turn, block after block; a ratio is the median of
the ratios within a block. Quality is the overlap with the exact fp32 MaxSim top k, and nDCG@10 of judged questions. Parts
can be run one by one and add to benchmarks/results/engine.jsonl, a later result in the place of an earlier one of the same
kind. The parts anchors and batches have result files and modules of their own, anchors.py and batches.py. `--part report` writes
results/engine.md, results/anchors.md and the tables of docs/benchmarks.md; plots.py draws.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]

import anchors_report  # noqa: E402
import batches_report  # noqa: E402
import engine_report  # noqa: E402
from anchors import anchors  # noqa: E402
from anchors import read_results as read_anchors  # noqa: E402
from batches import batches  # noqa: E402
from batches import read_results as read_batches  # noqa: E402
from maxsim import machine  # noqa: E402
from truth import exact_top, ndcg_at_10, overlap  # noqa: E402
from vectors import load_queries  # noqa: E402
from worker import ENGINES, Worker  # noqa: E402

RESULTS = HERE / "results" / "engine.jsonl"
BLOCK, BLOCKS = 10, 24  # queries asked at a time, and how often; the first two blocks warm up
ANCHORS = ("tachiom", "kannolo")  # asked in the part anchors only
KEY = ("part", "engine", "nbits", "documents", "threads", "setting", "k", "queries")

# By name, what each engine is asked with. "alike" gives those with such knobs the same probes and candidates.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "defaults": {name: {} for name in ENGINES},
    "alike": {
        "polyvec": {"nprobe": 4, "candidates": 1024},  # an eighth is scored in full
        "colbert": {"ncells": 4, "centroid_score_threshold": 0.4, "ndocs": 1024},  # a quarter is scored in full
        "fast-plaid": {"n_ivf_probe": 4, "n_full_scores": 1024},
    },
    # what finds no less than these others at their defaults, so that times compare at equal or better overlap
    "no worse": {"polyvec": {"nprobe": 4, "candidates": 192}, "colbert": {}},
    "no worse than xtr": {"polyvec": {"nprobe": 2, "candidates": 64}, "xtr-warp-rs": {}, "lancedb": {}},
    "recall 0.95": {"polyvec": {"recall": 0.95}},
    "recall 0.9": {"polyvec": {"recall": 0.9}},
    "recall 0.8": {"polyvec": {"recall": 0.8}},
    "recall 0.99": {"polyvec": {"recall": 0.99}},
    "exact": {"polyvec": {"exact": True}},
    "refined": {"lancedb": {"refine_factor": 10}},
}


class Bench:
    """What the parts share: where things lie, and the results so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given = arguments
        self.cache: Path = arguments.cache
        self.described = {**machine(), "commit": _commit()}
        self.described.pop("versions")

    def index(self, engine: str, nbits: int, documents: int) -> Path:
        return self.given.indexes / f"{engine}-{nbits}bit-{documents}"

    def worker(self, engine: str, nbits: int, documents: int, threads: int) -> Worker:
        given = self.given
        return Worker(
            engine, peers=given.peers, cache=given.vectors_of(documents), index=self.index(engine, nbits, documents),
            documents=documents, threads=threads, nbits=nbits,
        )  # fmt: skip

    def contestants(self, documents: int) -> Iterator[tuple[str, int]]:
        """Engines and bits whose index of this size is there."""
        for engine in self.given.engines:
            for nbits in self.given.nbits:
                if self.index(engine, nbits, documents).with_suffix(".json").exists():
                    yield engine, nbits

    def built(self, engine: str, nbits: int, documents: int) -> dict[str, Any]:
        """What building said, of an index that is there."""
        made: dict[str, Any] = json.loads(self.index(engine, nbits, documents).with_suffix(".json").read_text())
        return made

    def said(self) -> dict[str, Any]:
        """What every line says of the machine, the command and the time."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        return {**self.described, "command": self.given.command, "at": now}

    def record(self, **result: Any) -> None:
        """Keep one result, in the place of an older one of the same kind."""
        line = {"benchmark": "engine", **result, **self.said()}
        kept = [old for old in read_results() if any(old.get(name) != line.get(name) for name in KEY)]
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in [*kept, line]), encoding="utf-8")
        shown = {name: value for name, value in result.items() if value is not None}
        print(" ".join(f"{name}={value}" for name, value in shown.items()), flush=True)


def read_results() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


# -- parts -------------------------------------------------------------------------------------------------------------


def build(bench: Bench, documents: int) -> None:
    """Indexes that are not there yet, or again with --rebuild; on all threads."""
    for engine in bench.given.engines:
        for nbits in bench.given.nbits:
            folder = bench.index(engine, nbits, documents)
            done = folder.with_suffix(".json")
            if done.exists() and engine not in bench.given.rebuild:
                continue
            done.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with bench.worker(engine, nbits, documents, bench.given.cores) as worker:
                made = worker.ask("build")
                opened = worker.ask("open")
            done.write_text(json.dumps({**made, "threads": bench.given.cores}), encoding="utf-8")
            if engine in ANCHORS:
                continue  # their lines are those of the part anchors
            bench.record(
                part="build", engine=engine, version=opened["version"], nbits=nbits, documents=documents,
                tokens=made["tokens"], threads=bench.given.cores, seconds=round(made["seconds"], 1),
                bytes_per_token=round(opened["index_bytes"] / made["tokens"], 2),
                peak_mb=round(made["peak_bytes"] / 1e6), input_mb=round(made["input_bytes"] / 1e6),
            )  # fmt: skip


def quality(bench: Bench, documents: int) -> None:
    """Overlap with exact fp32 MaxSim, and nDCG@10 of judged questions; nothing is timed."""
    kept = exact_top(bench.given.vectors_of(documents), documents, "questions", None)
    judged = load_queries(bench.cache, "questions").relevant
    names = kept.names
    bench.record(part="quality", engine="exact fp32", documents=documents, ndcg10=ndcg_at_10(kept.rows, names, judged))
    for engine, nbits in bench.contestants(documents):
        with bench.worker(engine, nbits, documents, bench.given.cores) as worker:
            opened = worker.ask("open")
            for setting in bench.given.settings:
                options = SETTINGS[setting].get(engine)
                if options is None:
                    continue
                for kind in ("questions", "sentences"):
                    truth = exact_top(bench.given.vectors_of(documents), documents, kind, None)
                    found = {
                        k: worker.ask("batch", kind=kind, first=0, count=len(truth.rows), k=k, options=options)["hits"]
                        for k in (10, 100)
                    }
                    bench.record(
                        part="quality", engine=engine, version=opened["version"], nbits=nbits, documents=documents,
                        setting=setting, queries=kind, overlap10=overlap(found[10], truth.rows, 10),
                        overlap100=overlap(found[100], truth.rows, 100),
                        ndcg10=ndcg_at_10(found[10], names, judged) if kind == "questions" else None,
                    )  # fmt: skip


def search(bench: Bench, documents: int) -> None:
    """Single queries of 32 tokens, in turn; the ratio is with polyvec at its first nbits and the same setting."""
    for threads in bench.given.threads:
        for k in bench.given.k:
            _search(bench, documents, threads, k)


def _search(bench: Bench, documents: int, threads: int, k: int) -> None:
    seconds: dict[tuple[str, int, str], list[list[float]]] = {}
    hits: dict[tuple[str, int, str], list[list[int]]] = {}
    opened, memory = {}, {}
    with ExitStack() as stack:
        workers = {}
        for contestant in bench.contestants(documents):
            workers[contestant] = stack.enter_context(bench.worker(*contestant, documents, threads))
            opened[contestant] = workers[contestant].ask("open")
        asked = [
            (*contestant, setting)
            for setting in bench.given.settings
            for contestant in workers
            if contestant[0] in SETTINGS[setting]
        ]
        for block in range(-2, bench.given.blocks):
            for engine, nbits, setting in asked:
                answer = workers[engine, nbits].ask(
                    "search", kind="sentences", first=BLOCK * max(block, 0), count=BLOCK, k=k,
                    options=SETTINGS[setting][engine],
                )  # fmt: skip
                if block >= 0:
                    seconds.setdefault((engine, nbits, setting), []).append(answer["seconds"])
                    hits.setdefault((engine, nbits, setting), []).extend(answer["hits"])
        memory = {contestant: worker.ask("memory") for contestant, worker in workers.items()}
    truth = exact_top(bench.given.vectors_of(documents), documents, "sentences", bench.given.blocks * BLOCK)
    for (engine, nbits, setting), times in seconds.items():
        ours = seconds.get(("polyvec", bench.given.nbits[0], setting), seconds.get(("polyvec", 4, "defaults")))
        flat = np.array(times).ravel()
        held = memory[engine, nbits]
        bench.record(
            part="search", engine=engine, version=opened[engine, nbits]["version"], nbits=nbits, documents=documents,
            tokens=truth.tokens, threads=threads, setting=setting, k=k, p50_ms=round(1e3 * float(np.median(flat)), 3),
            p95_ms=round(1e3 * float(np.percentile(flat, 95)), 3),
            polyvec_is_faster_by=None if ours is None else _ratio(times, ours),
            overlap=overlap(hits[engine, nbits, setting], truth.rows, k), open_seconds=_open(opened[engine, nbits]),
            resident_mb=round(held["resident"] / 1e6), anonymous_mb=round(held["anonymous"] / 1e6),
            queries_timed=len(flat),
        )  # fmt: skip


def batch(bench: Bench, documents: int) -> None:
    """Queries a second when many are given at once, on all threads."""
    threads, count = bench.given.cores, bench.given.batch
    with ExitStack() as stack:
        workers, opened = {}, {}
        for contestant in bench.contestants(documents):
            workers[contestant] = stack.enter_context(bench.worker(*contestant, documents, threads))
            opened[contestant] = workers[contestant].ask("open")
        rates: dict[tuple[str, int, str], list[float]] = {}
        for turn in range(-1, 5):
            for setting in bench.given.settings:
                for (engine, nbits), worker in workers.items():
                    options = SETTINGS[setting].get(engine)
                    if options is None:
                        continue
                    asked = count if turn >= 0 else BLOCK
                    answer = worker.ask("batch", kind="sentences", first=0, count=asked, k=10, options=options)
                    if turn >= 0:
                        rates.setdefault((engine, nbits, setting), []).append(asked / answer["seconds"])
    for (engine, nbits, setting), found in rates.items():
        ours = rates.get(("polyvec", bench.given.nbits[0], setting), rates.get(("polyvec", 4, "defaults")))
        bench.record(
            part="batch", engine=engine, version=opened[engine, nbits]["version"], nbits=nbits, documents=documents,
            threads=threads, setting=setting, k=10, queries_per_second=round(float(np.median(found)), 1),
            polyvec_is_faster_by=None if ours is None else round(float(np.median(np.divide(ours, found))), 2),
        )  # fmt: skip


def kernel(bench: Bench, documents: int) -> None:
    """Share of the measured int8 peak that scoring documents in full reaches on one thread."""
    for nbits in bench.given.nbits:
        folder = bench.index("polyvec", nbits, documents)
        command = [sys.executable, str(HERE / "full_scores.py"), str(bench.given.vectors_of(documents)), str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        bench.record(part="kernel", engine="polyvec", nbits=nbits, documents=documents, threads=1, **found)


PARTS = {
    "build": build, "quality": quality, "search": search, "batch": batch, "kernel": kernel, "anchors": anchors, "batches": batches,
}  # fmt: skip


def _ratio(times: list[list[float]], ours: list[list[float]]) -> float:
    return round(float(np.median(np.sum(times, axis=1) / np.sum(ours, axis=1))), 2)


def _open(answer: dict[str, Any]) -> float:
    return round(float(answer["seconds"]), 2)


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="Folder of benchmarks/vectors.py.")
    parser.add_argument("--synthetic", type=Path, help="Another such folder, for collections larger than the cache.")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="Folder of benchmarks/peers/install.sh.")
    parser.add_argument("--indexes", type=Path, help="Where indexes are built.  [default: CACHE/indexes]")
    parser.add_argument(
        "--part", nargs="+", choices=[*PARTS, "report"], default=["build", "quality", "search", "batch"]
    )
    parser.add_argument("--documents", nargs="+", type=int, default=[40_000])
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=["polyvec", "colbert"])
    parser.add_argument("--nbits", nargs="+", type=int, default=[4])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, cores}))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["defaults"])
    parser.add_argument("-k", nargs="+", type=int, default=[10], choices=[10, 100])
    parser.add_argument("--blocks", type=int, default=BLOCKS, help=f"Blocks of {BLOCK} queries.")
    parser.add_argument("--judged", type=int, default=1_000, help="Judged questions of the part anchors.")
    parser.add_argument("--batch", type=int, default=200, help="Queries of a batch.")
    parser.add_argument(
        "--rebuild", nargs="*", choices=list(ENGINES), default=[], help="Build these engines' indexes again."
    )
    arguments = parser.parse_args()
    arguments.cores = cores
    shown = [word if not word.startswith("/") else Path(word).name.upper() for word in sys.argv[1:]]
    arguments.command = shlex.join(["python", "benchmarks/engine.py", *shown])
    if arguments.part != ["report"]:
        if arguments.cache is None:
            parser.error("--cache is needed")
        arguments.indexes = arguments.indexes or arguments.cache / "indexes"
        largest = 10_000 * len(list(arguments.cache.glob("part-*.json")))
        arguments.vectors_of = lambda documents: arguments.cache if documents <= largest else arguments.synthetic
        bench = Bench(arguments)
        for documents in arguments.documents:
            for part in arguments.part:
                if part != "report":
                    PARTS[part](bench, documents)
    if "report" in arguments.part:
        page = HERE.parent / "docs" / "benchmarks.md"
        engine_report.write(read_results(), HERE / "results", page)
        anchors_report.write(read_anchors(), HERE / "results", page)
        batches_report.write(read_batches(), page)


if __name__ == "__main__":
    main()
