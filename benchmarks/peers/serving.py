"""One search engine in one process, answering a benchmark: JSON lines on stdin -> JSON lines on stdout.

    python benchmarks/peers/serving.py ENGINE --cache VECTORS --index FOLDER --documents N --threads T [--nbits B]

ENGINE is a module beside this file with `version()`, `build(folder, collection, nbits, threads)` and
`Opened(folder, documents, threads)` with `search(query, k, **options)` and `batch(queries, k, **options)`, which return
document numbers, best first. Started by benchmarks/engine.py with the Python of the engine's own environment; the process
is held to as many processors as it may have threads. Whatever an engine prints goes to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def hold_to(threads: int) -> None:
    """Limit this process and every thread pool that it will make. Call before an engine is imported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)


def memory() -> dict[str, int]:
    """Bytes of this process, in kB steps: the most it ever held, what it holds, and how much of that no file backs."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        name: 1024 * int(fields[key].split()[0])
        for name, key in (("peak", "VmHWM"), ("resident", "VmRSS"), ("anonymous", "RssAnon"))
    }


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Session:
    """What the requests of one process work on."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.given = arguments
        self.engine = importlib.import_module(arguments.engine)
        self.opened: Any = None
        self.queries: dict[str, list[Any]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, "do_" + request.pop("do"))(**request)
        return answer

    def do_build(self) -> dict[str, Any]:
        from vectors import load_collection

        given = self.given
        collection = load_collection(given.cache, given.documents)
        before = memory()
        started, worked = time.perf_counter(), time.process_time()
        self.engine.build(given.index, collection, given.nbits, given.threads)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "index_bytes": folder_bytes(given.index),
            "tokens": int(collection.offsets[-1]),
            "peak_bytes": memory()["peak"],
            "input_bytes": before["resident"],
        }

    def do_open(self) -> dict[str, Any]:
        before = memory()
        started = time.perf_counter()
        self.opened = self.engine.Opened(self.given.index, self.given.documents, self.given.threads)
        return {
            "seconds": time.perf_counter() - started,
            "before": before,
            "version": self.engine.version(),
            "index_bytes": folder_bytes(self.given.index),
            "about": getattr(self.opened, "about", {}),
        }

    def do_search(self, kind: str, first: int, count: int, k: int, options: dict[str, Any]) -> dict[str, Any]:
        """Queries one after another, as somebody who waits for each."""
        hits, seconds, cpu_seconds = [], [], []
        for query in self._queries(kind)[first : first + count]:
            started, worked = time.perf_counter(), time.process_time()
            found = self.opened.search(query, k, **options)
            cpu_seconds.append(time.process_time() - worked)
            seconds.append(time.perf_counter() - started)
            hits.append([int(number) for number in found])
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "hits": hits}

    def do_batch(self, kind: str, first: int, count: int, k: int, options: dict[str, Any]) -> dict[str, Any]:
        """Queries given all at once."""
        queries = self._queries(kind)[first : first + count]
        started, worked = time.perf_counter(), time.process_time()
        found = self.opened.batch(queries, k, **options)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        hits = [[int(number) for number in one] for one in found]
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "hits": hits}

    def do_batches(self, kind: str, numbers: list[int], size: int, k: int, options: dict[str, Any]) -> dict[str, Any]:
        """These queries, `size` at a time; the last batch may be smaller."""
        queries = [self._queries(kind)[number] for number in numbers]
        started, worked = time.perf_counter(), time.process_time()
        for first in range(0, len(queries), size):
            self.opened.batch(queries[first : first + size], k, **options)
        return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}

    def do_differences(self, kind: str, numbers: list[int], k: int, options: dict[str, Any]) -> dict[str, Any]:
        """Which of these queries have other hits or other scores in a batch than alone."""
        queries = [self._queries(kind)[number] for number in numbers]
        together = self.opened.scored(queries, k, **options)
        alone = [self.opened.scored([query], k, **options)[0] for query in queries]
        pairs = zip(numbers, together, alone, strict=True)
        return {"differences": [number for number, one, other in pairs if one != other]}

    def do_memory(self) -> dict[str, Any]:
        return dict(memory())

    def _queries(self, kind: str) -> list[Any]:
        from vectors import load_queries

        if kind not in self.queries:
            self.queries[kind] = load_queries(self.given.cache, kind).vectors
        return self.queries[kind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--documents", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--nbits", type=int, default=4)
    arguments = parser.parse_args()
    hold_to(arguments.threads)
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    sys.path[:] = [entry for entry in sys.path if entry]
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = Session(arguments)
    for line in sys.stdin:
        replies.write(json.dumps(session.answer(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
