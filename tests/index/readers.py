"""Many processes search an index while one writes it: every answer is held against a brute-force shadow.

    python -m tests.index.readers [--seconds 600] [--readers 8]

A document's vectors follow from its id and version, which its metadata names, so a reader can score by brute force all that its
snapshot lists. The writer publishes a digest of every state before it commits and a count after, so a reader knows that
its snapshot is one whole committed state, and none older than what was acknowledged before it was opened. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyvec import Index
from polyvec.index.upkeep import policy

DIM, TOKENS = 16, 5
_STATES = 1 << 20
_DOCUMENTS = 800  # about which the index has
_TOLERANCE = 0.02  # of a score, a query token: 8-bit codes


@dataclass
class Shared:
    """What the writer reports: digests of states in order, how many are committed, whether it is over."""

    digests: Any
    committed: Any
    over: Any


def vectors_of(name: str, version: int) -> np.ndarray:
    """(TOKENS, DIM) float32 unit rows."""
    number = int(name[1:]) * 100_003 + version
    rows = np.random.default_rng(number).standard_normal((TOKENS, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def digest_of(name: str, version: int) -> int:
    """A number that is added up over a state's documents."""
    return int.from_bytes(np.random.default_rng([int(name[1:]), version]).bytes(7), "little")


def write(path: Path, shared: Shared, seed: int) -> dict[str, Any]:
    """Add, replace, delete and compact until it is over."""
    policy.TRAIN_FROM = 2000
    chooser = random.Random(seed)
    state: dict[str, int] = {}
    fresh, calls, digest = 0, 0, 0
    with Index.open(path) as index:
        while not shared.over.value or calls < 4:
            calls += 1
            fresh += 1
            count = min(chooser.choice([1, 3, 10, 40]), max(len(state), 40))
            names = chooser.sample(sorted(state), min(count, len(state)))
            kind = chooser.choices(
                ["add", "update", "delete", "compact"], [5, 3, 2 if len(state) < _DOCUMENTS else 8, 0.3]
            )[0]
            after = dict(state)
            if kind == "add":
                after.update({f"d{fresh * 100 + i}": fresh for i in range(count)})
            elif kind == "update":
                after.update(dict.fromkeys(names, fresh))
            elif kind == "delete":
                after = {name: version for name, version in state.items() if name not in set(names)}
            changed = after.items() ^ state.items()
            for name, version in changed:
                digest += digest_of(name, version) if after.get(name) == version else -digest_of(name, version)
            shared.digests[calls % _STATES] = digest % (1 << 63)
            if kind == "delete":
                index.delete(names)
            elif kind == "compact":
                index.compact(retrain=chooser.random() < 0.3)
            else:
                new = [name for name in after if after[name] == fresh]
                index.add_vectors(
                    new,
                    [vectors_of(name, fresh) for name in new],
                    metadata=[{"v": fresh}] * len(new),
                    existing="replace",
                )
            shared.committed.value = calls
            state = after
        return {
            "calls": calls,
            "documents": len(state),
            "segments": index.info()["segments"],
            "problems": index.verify(),
        }


def read(path: Path, shared: Shared, seed: int, *, auto: bool) -> dict[str, Any]:
    """Search and compare until it is over. auto: whether the index refreshes itself."""
    rng = np.random.default_rng(seed)
    searches, refreshes, last, problems = 0, 0, 0, []
    known: dict[tuple[str, int], np.ndarray] = {}
    memory: list[int] = []
    began = time.monotonic()
    with Index.open(path, auto_refresh=auto) as index:
        while not problems and (not shared.over.value or not searches):  # once at least, however slow the machine
            acknowledged = shared.committed.value
            if not auto:
                index.refresh()
            refreshes += 1
            view = index._view if not auto else None
            listed = {document.id: int(document.metadata["v"]) for document in index.documents()}
            digest = sum(digest_of(name, version) for name, version in listed.items()) % (1 << 63)
            newest = shared.committed.value + 1
            since = max(acknowledged, last)
            places = [n for n in range(since, newest + 1) if shared.digests[n % _STATES] == digest]
            if not places:
                problems.append(f"{len(listed)} documents are no state between {since} and {newest}")
                break
            last = places[0]
            known = {item: known[item] if item in known else vectors_of(*item) for item in listed.items()}
            for _ in range(5):
                query = rng.standard_normal((4, DIM)).astype(np.float32)
                query /= np.linalg.norm(query, axis=1, keepdims=True)
                hits = index.search_vectors(query, k=10, threads=1)
                searches += 1
                if problem := wrong(query, hits, known, whole=not auto):
                    problems.append(problem)
            if view is not None and view is not index._view:
                problems.append("the state changed without a refresh")
            memory.append(anonymous_memory())
    memory = memory or [anonymous_memory()]
    third = max(1, len(memory) // 3)
    return {
        "searches": searches,
        "refreshes": refreshes,
        "seconds": round(time.monotonic() - began, 1),
        "memory_kb": [max(memory[:third]), max(memory[third : 2 * third] or memory), max(memory[-third:])],
        "problems": problems,
    }


def wrong(query: np.ndarray, hits: list[Any], known: dict[tuple[str, int], np.ndarray], *, whole: bool) -> str:
    """What is wrong with an answer. whole: `known` is the very state that was searched."""
    for hit in hits:
        expected = float((query @ vectors_of(hit.id, hit.metadata["v"]).T).max(axis=1).sum())
        if abs(hit.score - expected) > _TOLERANCE * len(query):
            return f"{hit.id} version {hit.metadata['v']} scores {hit.score}, by brute force {expected}"
    if not whole:
        return ""
    if not known:
        return "" if not hits else f"{len(hits)} hits in an empty index"
    scores = (np.concatenate(list(known.values())) @ query.T).reshape(len(known), TOKENS, -1).max(axis=1).sum(axis=1)
    exact = dict(zip(known, scores.tolist(), strict=True))
    found = {(hit.id, hit.metadata["v"]) for hit in hits}
    if len(hits) != min(10, len(known)) or not found <= known.keys():
        return f"{len(hits)} hits of {len(known)} documents, unknown: {found - known.keys()}"
    missed = max((score for item, score in exact.items() if item not in found), default=-9.0)
    if missed > hits[-1].score + _TOLERANCE * len(query):
        return f"a document that scores {missed} is not found, the last hit scores {hits[-1].score}"
    return ""


def anonymous_memory() -> int:
    """Resident memory of this process that is not a mapped file, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    return 0


def _process(work: Any, path: Path, shared: Shared, seed: int, out: Any, settings: dict[str, Any]) -> None:
    try:
        out.put((seed, work(path, shared, seed, **settings)))
    except BaseException:  # to be reported by the parent
        out.put((seed, {"problems": [traceback.format_exc()]}))


def run(*, seconds: float, readers: int, folder: str | None = None) -> dict[str, Any]:
    """One writer, many readers; what they did and what was wrong."""
    context = multiprocessing.get_context("spawn")
    shared = Shared(context.Array("Q", _STATES, lock=False), context.Value("q", 0), context.Value("b", 0))
    with tempfile.TemporaryDirectory(prefix="polyvec-readers-", dir=folder) as place:
        path = Path(place) / "index"
        Index.create(path, dim=DIM, nbits=8).close()
        out = context.Queue()
        works: list[tuple[Any, dict[str, Any]]] = [(write, {})]
        works += [(read, {"auto": number % 4 == 3}) for number in range(readers)]
        processes = [
            context.Process(target=_process, args=(work, path, shared, seed, out, settings))
            for seed, (work, settings) in enumerate(works)
        ]
        for process in processes:
            process.start()
        deadline = time.monotonic() + seconds
        early = []
        while time.monotonic() < deadline and not early:
            time.sleep(0.1)
            early = [process for process in processes if not process.is_alive()]
        shared.over.value = 1
        reports = dict(out.get(timeout=120) for _ in processes)
        for process in processes:
            process.join()
    asked = [report for seed, report in reports.items() if seed]
    return {
        "seconds": seconds,
        "readers": readers,
        "writer": reports[0],
        "searches": sum(report.get("searches", 0) for report in asked),
        "refreshes": sum(report.get("refreshes", 0) for report in asked),
        "memory_kb_of_readers_by_thirds": [report.get("memory_kb") for report in asked],
        "problems": [problem for report in reports.values() for problem in report["problems"]],
    }


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument(
        "--folder", help="where the index is made; the system's own place for temporary files by default"
    )
    chosen = parser.parse_args()
    result = run(seconds=chosen.seconds, readers=chosen.readers, folder=chosen.folder)
    print(json.dumps(result))
    sys.exit(1 if result["problems"] else 0)
