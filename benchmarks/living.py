"""What does it cost to keep an index alive, and is one that grew as good and as fast as one that was built at once?

    python benchmarks/living.py --cache VECTORS [--part growth additions ...] [--documents 40000] [--folder FOLDER]

VECTORS is what benchmarks/vectors.py made: real token vectors, judged questions. Documents come in one shuffled order. Growth
starts from 1,000 documents and adds batches of 1,000 with no call to compact; both indexes then answer the same queries in
turn, and the ratio is the median of the ratios within a query. Texts are made of words drawn at random where only
the catalog meets them. With --folder, indexes to look at are kept there and found again, so that building need not
be done where and when one times. Lines go to benchmarks/results/living.jsonl, a later one in the place of an earlier
one of its part.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from maxsim import machine  # noqa: E402
from vectors import Collection, load_collection, load_queries, texts_in_order  # noqa: E402

import polyvec  # noqa: E402
from polyvec import Index, SearchOptions  # noqa: E402
from polyvec.encoder import Encoded  # noqa: E402

RESULTS = HERE / "results" / "living.jsonl"
SEED = 23
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "s", "t", "lo", "mi", "ra", "te")]


class Cached:
    """Stands in for an encoder: the documents' vectors in the order that they are asked for, round and round."""

    name, fingerprint, document_length, query_length = "cached vectors", "cached", 512, 32

    def __init__(self, collection: Collection) -> None:
        self._collection, self._at = collection, 0
        self.dim = collection.tokens.shape[1]

    def settings(self) -> dict[str, Any]:
        return {"model": self.name, "dim": self.dim}

    def stream_documents(self, texts: Any, *, progress: Any = None) -> Iterator[Encoded]:
        for _ in texts:
            number = self._at % (len(self._collection.offsets) - 1)
            a, b = self._collection.offsets[number : number + 2]
            self._at += 1
            ids = self._collection.token_ids[a:b]
            yield Encoded(
                vectors=self._collection.tokens[a:b].astype(np.float32), token_ids=ids, offsets=None, truncated=False
            )


def shuffled(collection: Collection, documents: int) -> tuple[list[str], list[np.ndarray]]:
    """Names and vectors of documents drawn from the whole collection."""
    order = np.random.default_rng(SEED).permutation(len(collection.names))[:documents]
    spans = [collection.offsets[i : i + 2] for i in order]
    return [collection.names[i] for i in order], [collection.tokens[a:b] for a, b in spans]


def texts(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """Documents of about 20 words."""
    rng = np.random.default_rng([SEED, first])
    for number in range(first, first + count):
        words = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 20))
        yield {"id": f"d{number}", "text": words, "lang": "xx", "year": int(rng.integers(1990, 2020))}


def ndcg(ranked: list[str], relevant: frozenset[str]) -> float:
    """nDCG@10 with one grade of relevance."""
    gains = [1 / np.log2(rank + 1) for rank, name in enumerate(ranked[:10], start=1) if name in relevant]
    return float(sum(gains) / sum(1 / np.log2(rank + 1) for rank in range(1, min(10, len(relevant)) + 1)))


def growth(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    names, vectors = shuffled(collection, documents)
    indexes, seconds = {}, {}
    for name, size in (("at once", documents), ("grown", ARGUMENTS.batch)):
        place = folder / f"{name} {documents} x {ARGUMENTS.nbits}, {size} a call"

        def make(index: Index, size: int = size) -> None:
            for start in range(0, documents, size):
                index.add_vectors(names[start : start + size], vectors[start : start + size])

        seconds[name] = made(place, make, dim=collection.tokens.shape[1], nbits=ARGUMENTS.nbits)
        indexes[name] = Index.open(place)
    questions = load_queries(Path(ARGUMENTS.cache), "questions")
    sentences = load_queries(Path(ARGUMENTS.cache), "sentences")
    there = set(names)
    judged = [(v, r & there) for v, r in zip(questions.vectors, questions.relevant, strict=True) if r & there]
    quality: dict[str, float] = {}
    found: dict[str, list[set[str]]] = {}
    for name, index in indexes.items():
        hits = index.search_vectors([v for v, _ in judged], k=10)
        quality[name] = float(np.mean([ndcg([h.id for h in one], r) for one, (_, r) in zip(hits, judged, strict=True)]))
        found[name] = [{h.id for h in one} for one in index.search_vectors(sentences.vectors[:100], k=10)]
    exact = indexes["at once"].search_vectors(sentences.vectors[:100], k=10, options=SearchOptions(exact=True))
    top = [{h.id for h in one} for one in exact]
    times: dict[str, list[float]] = {"at once": [], "grown": []}
    for round_, query in enumerate(sentences.vectors[:320]):
        for name in ("at once", "grown") if round_ % 2 else ("grown", "at once"):
            started = time.perf_counter()
            indexes[name].search_vectors(query, k=10, threads=1)
            times[name].append(1000 * (time.perf_counter() - started))
    ratio = float(np.median(np.array(times["grown"][20:]) / np.array(times["at once"][20:])))
    for name, index in indexes.items():
        facts = index.info()
        yield {
            "part": "growth",
            "index": name,
            "documents": documents,
            "calls": 1 if name == "at once" else -(-documents // ARGUMENTS.batch),
            "tokens": facts["tokens"],
            "segments": [live.segment.n_tokens for live in index._view.snapshot.segments],
            "codec": facts["codec"],
            "bytes_per_token": facts["bytes_per_token"],
            "build_s": seconds[name],
            "judged_questions": len(judged),
            "ndcg@10": round(quality[name], 4),
            "overlap@10 with exact search of the one built at once": round(
                float(np.mean([len(a & b) / 10 for a, b in zip(found[name], top, strict=True)])), 4
            ),
            "median_ms": round(float(np.median(times[name][20:])), 2),
            "time_ratio": round(ratio, 3) if name == "grown" else 1.0,
        }
        index.close()


def additions(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    """Calls of one, a hundred and a thousand documents, and one call for all; training and merging included."""
    names, vectors = shuffled(collection, documents)
    for size, calls in ((1, 1000), (100, 100), (1000, documents // 1000), (documents, 1)):
        with Index.create(folder / f"add{size}", dim=collection.tokens.shape[1], nbits=ARGUMENTS.nbits) as index:
            taken = []
            for start in range(0, size * calls, size):
                started = time.perf_counter()
                index.add_vectors(names[start : start + size], vectors[start : start + size])
                taken.append(time.perf_counter() - started)
            facts = index.info()
        yield {
            "part": "additions",
            "documents_a_call": size,
            "calls": calls,
            "tokens": facts["tokens"],
            "documents_s": round(size * calls / sum(taken), 1),
            "tokens_s": round(facts["tokens"] / sum(taken)),
            "median_ms_a_call": round(1000 * float(np.median(taken)), 2),
            "longest_s": round(max(taken), 2),
            "segments": facts["segments"],
        }
        shutil.rmtree(folder / f"add{size}")


def deletes(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    """One document a call, from indexes of growing size. Four tokens a document: a delete touches the catalog alone."""
    short = _cut(collection, 4)
    for size in (documents // 100, documents // 10, documents):
        encoder: Any = Cached(short)
        with Index.create(folder / f"delete{size}", encoder=encoder) as index:
            index.add(texts(size))
            order = np.random.default_rng(SEED).permutation(size)
            taken = []
            for number in order[:200].tolist():
                started = time.perf_counter()
                index.delete([f"d{number}"])
                taken.append(1000 * (time.perf_counter() - started))
            started = time.perf_counter()
            len(index)
            moved = 1000 * (time.perf_counter() - started)
        median, high = (round(float(np.quantile(taken, q)), 2) for q in (0.5, 0.9))
        yield {
            "part": "deletes",
            "documents": size,
            "median_ms": median,
            "p90_ms": high,
            "next_read_ms": round(moved, 2),
        }
        shutil.rmtree(folder / f"delete{size}")


def opening(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    """Five times as many documents, each cut to 24 tokens, as short documents go."""
    size = 5 * documents
    encoder: Any = Cached(_cut(collection, 24))
    place = folder / f"open {size} x {ARGUMENTS.nbits}"

    def make(index: Index) -> None:
        index.add(texts(size))
        index.compact()

    built = made(place, make, encoder=encoder, nbits=ARGUMENTS.nbits)
    with Index.open(place, encoder=encoder) as index:
        facts = index.info()
    query = load_queries(Path(ARGUMENTS.cache), "sentences").vectors[0]

    def first_hit() -> None:
        with Index.open(place, encoder=encoder) as index:
            index.search_vectors(query, k=10)

    yield {
        "part": "opening",
        "documents": facts["documents"],
        "tokens": facts["tokens"],
        "coded_segments": facts["coded_segments"],
        "build_s": built,
        "open_ms": _median_ms(lambda: Index.open(place, encoder=encoder).close()),
        "open_and_search_ms": _median_ms(first_hit),
        "size_bytes": facts["size_bytes"],
        "bytes_per_token": facts["bytes_per_token"],
    }


def compaction(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    """A tenth of the documents deleted, then compacted; then trained anew."""
    encoder: Any = Cached(collection)
    place, copy = folder / f"compact {documents} x {ARGUMENTS.nbits}", folder / "compacted"

    def make(index: Index) -> None:
        index.add(texts(documents))
        index.delete([f"d{i}" for i in range(0, documents, 10)])

    made(place, make, encoder=encoder, nbits=ARGUMENTS.nbits)
    shutil.copytree(place, copy)
    with Index.open(copy, encoder=encoder) as index:
        for retrain in (False, True):
            before = index.info()
            started = time.perf_counter()
            index.compact(retrain=retrain)
            seconds = time.perf_counter() - started
            after = index.info()
            yield {
                "part": "compaction",
                "retrain": retrain,
                "documents": after["documents"],
                "tokens": after["tokens"],
                "seconds": round(seconds, 2),
                "tokens_s": round(after["tokens"] / seconds),
                "size_bytes_before": before["size_bytes"],
                "size_bytes": after["size_bytes"],
            }
    shutil.rmtree(copy)


def size(folder: Path, collection: Collection, documents: int) -> Iterator[dict[str, Any]]:
    """Real texts with their vectors: what an index takes on disk for each byte of text. Needs --data."""
    if ARGUMENTS.data is None:
        raise SystemExit("--part size needs --data, the folder that benchmarks/vectors.py read.")
    for nbits in (4, 2, 1):
        encoder: Any = Cached(collection)
        with Index.create(folder / f"size{nbits}", encoder=encoder, nbits=nbits) as index:
            index.add({"id": name, "text": text} for name, text in texts_in_order(ARGUMENTS.data, documents))
            index.compact()
            facts = index.info()
        codec = facts["codec"]["size_bytes"]
        yield {
            "part": "size",
            "index_bits": nbits,
            "documents": facts["documents"],
            "tokens": facts["tokens"],
            "text_bytes": facts["text_bytes"],
            "times_text": round(facts["size_bytes"] / facts["text_bytes"], 2),
            "vectors_times_text": round((facts["vector_bytes"] + codec) / facts["text_bytes"], 2),
            "catalog_times_text": round(facts["catalog_bytes"] / facts["text_bytes"], 2),
            "bytes_per_token": facts["bytes_per_token"],
        }
        shutil.rmtree(folder / f"size{nbits}")


def made(place: Path, make: Callable[[Index], None], **options: Any) -> float:
    """Seconds that making an index took, now or when it was found worth keeping."""
    note = place.with_name(f"{place.name}.seconds")
    if not note.exists():
        shutil.rmtree(place, ignore_errors=True)
        started = time.perf_counter()
        with Index.create(place, **options) as index:
            make(index)
        note.write_text(str(round(time.perf_counter() - started, 1)))
    return float(note.read_text())


def _cut(collection: Collection, tokens: int) -> Collection:
    lengths = np.minimum(np.diff(collection.offsets), tokens)
    keep = np.concatenate([np.arange(a, a + n) for a, n in zip(collection.offsets, lengths, strict=False)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Collection(collection.tokens[keep], collection.token_ids[keep], offsets, collection.names)


def _median_ms(work: Callable[[], None], times: int = 15) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return round(float(np.median(taken)), 2)


PARTS = {part.__name__: part for part in (growth, additions, deletes, opening, compaction, size)}


def main() -> None:
    collection = load_collection(Path(ARGUMENTS.cache), ARGUMENTS.documents)
    place = Path(ARGUMENTS.folder or tempfile.mkdtemp(prefix="polyvec-living-"))
    try:
        for part in ARGUMENTS.part:
            folder = place / part
            folder.mkdir(parents=True, exist_ok=True)
            about = {
                "nbits": ARGUMENTS.nbits,
                "threads": ARGUMENTS.threads,
                "load": round(os.getloadavg()[0], 1),
                **machine(),
            }
            rows = [{**row, **about} for row in PARTS[part](folder, collection, ARGUMENTS.documents)]
            kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
            kept = [row for row in kept if row["part"] != part]
            RESULTS.write_text("".join(json.dumps(row) + "\n" for row in kept + rows))
            for row in rows:
                print(json.dumps(row), flush=True)
    finally:
        if ARGUMENTS.folder is None:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cache", required=True, help="what benchmarks/vectors.py made")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--nbits", type=int, default=4, help="of the indexes that are made")
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=1000, help="documents a call, in growth")
    parser.add_argument("--data", type=Path, help="what benchmarks/vectors.py read, for the part on sizes")
    parser.add_argument("--folder", help="where indexes are made and kept; none are kept without it")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    ARGUMENTS = parser.parse_args()
    assert polyvec.__version__
    main()
