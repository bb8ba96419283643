"""Is one build of polyvec slower than another? Additions, opening, searches and reading, by processor time.

    python benchmarks/builds.py OLD_PYTHON NEW_PYTHON [--rounds 5] [--documents 20000]

Each argument is the Python of an environment with one of the builds. They take turns, each round in processes of their own, on
the same made-up texts and vectors; no model is needed. A line has the median of new over old within a round: processor time
does not see what else the machine does, as the clock would.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

DIM = 32


class Encoder:
    """Takes next to no time: a text's vectors are some rows of one table."""

    dim, name, fingerprint, document_length, query_length = DIM, "rows", "rows-32", 300, 32

    def __init__(self) -> None:
        self._rows = unit(np.random.default_rng(3), 4096)

    def settings(self) -> dict[str, Any]:
        return {"model": self.name, "dim": self.dim}

    def _encode(self, texts: Iterable[str], count: int) -> Iterator[Any]:
        from polyvec.encoder import Encoded

        for text in texts:
            start = (len(text) * 7919 + ord(text[0]) * 31 + ord(text[-1]) * 17) % 4000
            ids, offsets = np.arange(count, dtype=np.int32), np.zeros((count, 2), np.int32)
            yield Encoded(vectors=self._rows[start : start + count], token_ids=ids, offsets=offsets, truncated=False)

    def stream_documents(self, texts: Iterable[str], *, progress: Any = None) -> Iterator[Any]:
        return self._encode(texts, 12)

    def stream_queries(self, texts: Iterable[str], *, progress: Any = None) -> Iterator[Any]:
        return self._encode(texts, 8)


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal((*shape, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def texts(count: int, length: int) -> list[str]:
    """A third each of ASCII words, words with umlauts, and Han characters."""
    rng = random.Random(count)
    words = ["".join(rng.choices("bdfgklmnprst", k=1) + rng.choices("aeiouä", k=1)) for _ in range(4000)]
    words = [word + rng.choice(words) + rng.choice(words) for word in words]
    plain = [word.replace("ä", "a") for word in words]
    han = [chr(code) for code in range(0x4E00, 0x5600)]
    made = []
    for i in range(count):
        if i % 3 == 2:
            made.append("".join(rng.choices(han, k=length // 3)))
        else:
            made.append(" ".join(rng.choices((plain, words)[i % 3], k=length // 7)))
    return made


def measure(folder: Path, documents: int) -> dict[str, float]:
    """Seconds of processor time of each task, with the polyvec of this environment."""
    from polyvec import Index
    from polyvec.data import read_documents

    seconds: dict[str, float] = {}

    @contextmanager
    def task(name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[name] = time.process_time() - start

    rows = [
        {"id": f"d{i}", "text": t, "lang": "en", "year": 1990 + i % 30} for i, t in enumerate(texts(documents, 100))
    ]
    queries = [" ".join(row["text"].split()[:3])[:20] for row in rows[:300]]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with task("read JSON lines"):
        list(read_documents(folder / "rows.jsonl"))
    arrays = list(unit(np.random.default_rng(1), 5000, 40))
    with Index.create(folder / "vectors", dim=DIM) as index:
        with task("add 5,000 arrays"):
            index.add_vectors([f"v{i}" for i in range(5000)], arrays)
        with task("300 additions of one array"):
            for i in range(300):
                index.add_vectors([f"w{i}"], arrays[i : i + 1])
    with task("open 100 times"):
        for _ in range(100):
            Index.open(folder / "vectors").close()
    with Index.create(folder / "texts", encoder=Encoder()) as index:  # type: ignore[arg-type]
        with task("add short texts"):
            index.add(rows)
        with task("delete 100 documents"):
            index.delete([row["id"] for row in rows[::7][:100]])
        with task("compact"):
            index.compact()
        with task("get every document"):
            index.get([row["id"] for row in rows])
        for mode in ("late", "keyword", "hybrid"):
            with task(f"300 searches, {mode}"):
                index.search(queries, mode=mode, threads=1)
        chosen = [row["id"] for row in rows[::29][:50]]
        with task("300 searches among 50 ids"):
            for query in queries:
                index.search(query, subset=chosen, threads=1)
        with task("add 2,000 long texts"):
            index.add({"id": f"l{i}", "text": text} for i, text in enumerate(texts(2000, 2000)))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", help="OLD_PYTHON NEW_PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--measure", action="store_true", help="measure this environment alone, as JSON")
    options = parser.parse_args()
    if options.measure:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(Path(folder), options.documents)))
        return
    if len(options.pythons) != 2:
        parser.error("give two Pythons: of the old build, and of the new one")
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.rounds):
        order = options.pythons if number % 2 == 0 else options.pythons[::-1]
        command = [__file__, "--measure", "--documents", str(options.documents)]
        answers = {python: subprocess.check_output([python, *command], text=True) for python in order}
        old, new = (json.loads(answers[python]) for python in options.pythons)
        for name in old:
            found.setdefault(name, []).append((old[name], new[name]))
    for name, pairs in found.items():
        ratio = statistics.median(new / old for old, new in pairs)
        old, new = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"| {name} | {old:.3f} s | {new:.3f} s | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
