"""What does each framework's adapter cost above the index itself?

    python benchmarks/adapters.py [--documents 10000] [--queries 200] [--only langchain haystack ...]

A made-up encoder stands in for the model, so that what is left is the index and the adapter. Adding: documents into a new index,
through the adapter and through `Index.add`; each three times in turn, the least processor time of each, after documents of the
framework were made. Searching: what a search through the adapter takes beside the call of `Index.search` inside it; the median.
Event loop: how late a coroutine is that sleeps for a millisecond, at the worst and for 99 of 100 times, while nothing
else runs and while async searches do. Lines go to benchmarks/results/adapters.jsonl, a later one in the place of an
earlier one of its framework. Frameworks that are not installed are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from maxsim import machine  # noqa: E402

import polyvec  # noqa: E402
from polyvec.encoder import Encoded  # noqa: E402

RESULTS = HERE / "results" / "adapters.jsonl"
SEED, DIM, TOKENS, K, ROUNDS = 23, 64, 24, 10, 3


class MadeUp:
    """Stands in for an encoder: token vectors drawn once, the same for equal texts."""

    name, fingerprint, dim, document_length, query_length = "made up", "made-up", DIM, 512, 32

    def __init__(self) -> None:
        pool = np.random.default_rng(SEED).standard_normal((4096, TOKENS, DIM)).astype(np.float32)
        self._pool = pool / np.linalg.norm(pool, axis=-1, keepdims=True)
        self._ids = np.arange(TOKENS, dtype=np.int32)

    def settings(self) -> dict[str, Any]:
        return {"model": self.name, "dim": self.dim}

    def stream_documents(self, texts: Any, *, progress: Any = None) -> Iterator[Encoded]:
        for text in texts:
            vectors = self._pool[int(text.rsplit(" ", 1)[1]) % len(self._pool)]
            yield Encoded(vectors=vectors, token_ids=self._ids, offsets=None, truncated=False)

    stream_queries = stream_documents


@dataclass
class Adapter:
    """What is timed: adding what was made of the rows, and one search, awaited too where the framework has that."""

    add: Callable[[polyvec.Index, list[Any]], Any]
    make: Callable[[dict[str, Any]], Any]
    searching: Callable[[polyvec.Index], tuple[Callable[[str], Any], Callable[[str], Awaitable[Any]] | None]]


def rows(count: int) -> list[dict[str, Any]]:
    """Documents with metadata as it is usual: a language, a year, a source."""
    return [
        {
            "id": f"d{i}",
            "text": f"passage {i}",
            "lang": ("en", "de", "ja")[i % 3],
            "year": 1900 + i % 120,
            "source": f"file-{i % 50}.txt",
        }
        for i in range(count)
    ]


def fields(row: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a row."""
    return {key: row[key] for key in ("lang", "year", "source")}


def langchain() -> Adapter:
    from langchain_core.documents import Document

    from polyvec.integrations.langchain import PolyvecVectorStore

    def searching(index: polyvec.Index) -> Any:
        store = PolyvecVectorStore(index)
        return lambda q: store.similarity_search(q, K), lambda q: store.asimilarity_search(q, K)

    return Adapter(
        add=lambda index, documents: PolyvecVectorStore(index).add_documents(documents),
        make=lambda row: Document(id=row["id"], page_content=row["text"], metadata=fields(row)),
        searching=searching,
    )


def llama_index() -> Adapter:
    from llama_index.core.schema import TextNode

    from polyvec.integrations.llama_index import PolyvecIndex

    def searching(index: polyvec.Index) -> Any:
        retriever = PolyvecIndex(index=index).as_retriever(similarity_top_k=K)
        return retriever.retrieve, retriever.aretrieve

    return Adapter(
        add=lambda index, nodes: PolyvecIndex(index=index).insert_nodes(nodes),
        make=lambda row: TextNode(id_=row["id"], text=row["text"], metadata=fields(row)),
        searching=searching,
    )


def haystack() -> Adapter:
    from haystack import Document
    from haystack.document_stores.types import DuplicatePolicy

    from polyvec.integrations.haystack import PolyvecDocumentStore, PolyvecRetriever

    def searching(index: polyvec.Index) -> Any:
        retriever = PolyvecRetriever(PolyvecDocumentStore(index=index), top_k=K)
        return retriever.run, retriever.run_async

    return Adapter(
        add=lambda index, documents: PolyvecDocumentStore(index=index).write_documents(
            documents, DuplicatePolicy.OVERWRITE
        ),
        make=lambda row: Document(id=row["id"], content=row["text"], meta=fields(row)),
        searching=searching,
    )


def pyterrier() -> Adapter:
    from polyvec.integrations.pyterrier import PolyvecIndexer

    def searching(index: polyvec.Index) -> Any:
        retriever = PolyvecIndexer(index).retriever(num_results=K)
        return retriever.search, None

    return Adapter(
        add=lambda index, given: PolyvecIndexer(index).index(given),
        make=lambda row: {"docno": row["id"], "text": row["text"], **fields(row)},
        searching=searching,
    )


def dspy() -> Adapter:
    from polyvec.integrations.dspy import PolyvecRetriever

    def searching(index: polyvec.Index) -> Any:
        retriever = PolyvecRetriever(index, k=K)
        return retriever, retriever.acall

    return Adapter(add=lambda index, given: index.add(given), make=lambda row: row, searching=searching)


ADAPTERS = {
    "langchain": langchain,
    "llama_index": llama_index,
    "haystack": haystack,
    "pyterrier": pyterrier,
    "dspy": dspy,
}


def measure(name: str, documents: int, queries: int) -> dict[str, Any]:
    """One line of results."""
    adapter = ADAPTERS[name]()
    given, encoder = rows(documents), MadeUp()
    made = [adapter.make(row) for row in given]
    times: dict[str, list[float]] = {"index": [], "adapter": []}
    for _ in range(ROUNDS):
        for kind, items, add in (("index", given, polyvec.Index.add), ("adapter", made, adapter.add)):
            with (
                tempfile.TemporaryDirectory() as folder,
                polyvec.Index.create(Path(folder) / "i.polyvec", encoder=encoder) as index,
            ):
                start = time.process_time()
                add(index, items)
                times[kind].append(time.process_time() - start)
    with tempfile.TemporaryDirectory() as folder, polyvec.Index.create(Path(folder) / "i", encoder=encoder) as index:
        adapter.add(index, made)
        questions = [f"question {i}" for i in range(queries)]
        whole, beside = searched(adapter, index, questions)
        late = asyncio.run(lateness(adapter, index, questions))
    return {
        "framework": name,
        "documents": documents,
        "add_per_cpu_s": {kind: round(documents / min(taken)) for kind, taken in times.items()},
        "add_share": round(min(times["index"]) / min(times["adapter"]), 3),
        "search_ms": ms(whole),
        "overhead_ms": ms(beside),
        "loop_late_ms": late,
        "k": K,
    }


class Watched:
    """An index that notes how long its searches take."""

    def __init__(self, index: polyvec.Index) -> None:
        self._index, self.inside = index, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, *args: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        found = self._index.search(*args, **keywords)
        self.inside = time.perf_counter() - start
        return found


def searched(adapter: Adapter, index: polyvec.Index, queries: list[str]) -> tuple[list[float], list[float]]:
    """Seconds of each search through the adapter, and the part of them beside the index's own search."""
    watched = Watched(index)
    search, _ = adapter.searching(watched)
    whole, beside = [], []
    for query in queries[:5] + queries:
        start = time.perf_counter()
        search(query)
        whole.append(time.perf_counter() - start)
        beside.append(whole[-1] - watched.inside)
    return whole[5:], beside[5:]


async def lateness(adapter: Adapter, index: polyvec.Index, queries: list[str]) -> dict[str, Any] | None:
    """How late the event loop is, in ms, alone and while async searches run one after another."""
    _, search = adapter.searching(index)
    if search is None:
        return None
    late: list[float] = []

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(1e3 * (time.perf_counter() - start) - 1)

    await search(queries[0])  # starts the pool of threads
    watching, start = asyncio.ensure_future(watch()), time.perf_counter()
    for query in queries:
        await search(query)
    searching, seconds = late[:], time.perf_counter() - start
    late.clear()
    await asyncio.sleep(seconds)
    watching.cancel()
    return {
        kind: {"most": round(max(each), 2), "of_100_99": round(float(np.percentile(each, 99)), 2)}
        for kind, each in (("alone", late), ("searching", searching))
    }


def ms(seconds: list[float]) -> float:
    """The median, in milliseconds."""
    return round(1e3 * statistics.median(seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=ADAPTERS, default=list(ADAPTERS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    earlier = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    lines = {line["framework"]: line for line in earlier}
    for name in options.only:
        try:
            line = measure(name, options.documents, options.queries)
        except ImportError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        lines[name] = {**line, "machine": machine(), "version": polyvec.__version__}
        print(json.dumps(lines[name]))
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in lines.values()))


if __name__ == "__main__":
    main()
