"""Do four shards answer as one index does, and what does a search cost?

    python benchmarks/shards.py --data DATA [--sets xquad/de arcd-ar ...] [--shards 4] [--questions 200]

DATA is a folder of BEIR datasets. The documents of each set are encoded once, and added to one index and to shards; both are then
put into codes by `compact`, each with a codec of its own training. Every question of the set, or the first so many, is asked of
both in turn, with one thread, in four ways. A line a set goes to benchmarks/results/shards.jsonl:

- exact, keyword, hybrid: how many questions got other ids, another order or another score, and the largest difference of a score;
- default: how many of the exact top 10 each of the two finds;
- for each way: CPU time of the shards' searches as a multiple of that of the index, query encoding not included.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from maxsim import machine  # noqa: E402

from polyvec import Encoder, Index, Shards  # noqa: E402
from polyvec.encoder import Encoded  # noqa: E402
from polyvec.evaluation.dataset import load_dataset  # noqa: E402
from polyvec.search.hits import Hit  # noqa: E402

RESULTS = HERE / "results" / "shards.jsonl"
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "exact": {"exact": True},
    "keyword": {"mode": "keyword"},
    "hybrid": {"mode": "hybrid"},
}
SAME = ("exact", "keyword", "hybrid")


class Remembering:
    """An encoder that encodes each text once.

    Args:
        encoder: That encodes it.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name, self.fingerprint, self.dim = encoder.name, encoder.fingerprint, encoder.dim
        self.document_length = encoder.document_length
        self._known: dict[tuple[str, str], Encoded] = {}

    def settings(self) -> dict[str, Any]:
        return self._encoder.settings()

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        return self._remembered("query", list(texts), self._encoder.stream_queries)

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        return self._remembered("document", list(texts), self._encoder.stream_documents)

    def _remembered(
        self, kind: str, texts: list[str], encode: Callable[[list[str]], Iterable[Encoded]]
    ) -> Iterator[Encoded]:
        new = list(dict.fromkeys(text for text in texts if (kind, text) not in self._known))
        self._known.update({(kind, text): one for text, one in zip(new, encode(new), strict=True)})
        return iter([self._known[kind, text] for text in texts])


class Compared:
    """The answers of the two, one question after another, and the time that they took."""

    def __init__(self) -> None:
        self.questions = 0
        self.other = dict.fromkeys(SAME, 0)  # questions with another answer
        self.furthest = dict.fromkeys(SAME, 0.0)  # difference of two scores of one rank
        self.found = {"index": 0, "shards": 0}  # of the exact top 10, by a default search
        self.exact_hits = 0
        self.seconds = {way: {"index": 0.0, "shards": 0.0} for way in WAYS}

    def ask(self, question: str, index: Index, shards: Shards) -> None:
        """Ask both in every way; the one that is asked second in one question is asked first in the next."""
        both: list[tuple[str, Index | Shards]] = [("index", index), ("shards", shards)]
        answers: dict[str, dict[str, list[Hit]]] = {}
        for way, keywords in WAYS.items():
            answers[way] = {}
            for name, one in both[:: 1 if self.questions % 2 else -1]:
                started = time.process_time()
                answers[way][name] = one.search(question, threads=1, **keywords)
                self.seconds[way][name] += time.process_time() - started
        self.questions += 1
        for way in SAME:
            wanted, got = answers[way]["index"], answers[way]["shards"]
            self.other[way] += got != wanted
            gaps = [abs(a.score - b.score) for a, b in zip(wanted, got, strict=False)]
            self.furthest[way] = max([self.furthest[way], *gaps])
        exact = {hit.id for hit in answers["exact"]["index"]}
        self.exact_hits += len(exact)
        for name, hits in answers["default"].items():
            self.found[name] += len(exact & {hit.id for hit in hits})

    def to_dict(self) -> dict[str, Any]:
        """What goes to the file."""
        return {
            "questions": self.questions,
            "other answers": self.other,
            "largest difference of a score": self.furthest,
            "overlap@10 with exact": {name: round(n / max(self.exact_hits, 1), 4) for name, n in self.found.items()},
            "cpu ms a question, index": {way: _ms(s["index"], self.questions) for way, s in self.seconds.items()},
            "cpu time, shards to index": {way: round(s["shards"] / s["index"], 2) for way, s in self.seconds.items()},
        }


def compared(path: Path, encoder: Encoder, shards: int, questions: int | None) -> dict[str, Any]:
    """Build both of a set's documents, ask both its questions."""
    dataset, remembering = load_dataset(str(path)), Remembering(encoder)
    texts = list(dict.fromkeys(query.text for query in dataset.judged_queries()))[:questions]
    with (
        tempfile.TemporaryDirectory(prefix="polyvec-shards-") as folder,
        Index.create(Path(folder) / "index", encoder=remembering) as index,
        Shards.create(Path(folder) / "shards", encoder=remembering, shards=shards) as several,
    ):
        for one in (index, several):
            one.add(dataset.documents())
            one.compact()
        result = Compared()
        list(remembering.stream_queries(texts))
        for text in texts[:20]:  # caches are filled, and what is loaded on first use is loaded
            Compared().ask(text, index, several)
        for text in texts:
            result.ask(text, index, several)
        facts = index.info()
        return {"documents": facts["documents"], "tokens": facts["tokens"], **result.to_dict()}


def _ms(seconds: float, questions: int) -> float:
    return round(1000 * seconds / questions, 3)


def every_set(data: Path) -> list[str]:
    """Names of the datasets in a folder: those in folders of their own, and those a level below."""
    return sorted(str(file.parent.relative_to(data)) for file in data.glob("**/queries.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of BEIR datasets")
    parser.add_argument("--sets", nargs="+", help="some of them; all where left out")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--questions", type=int, help="the first so many of each set; all where left out")
    chosen = parser.parse_args()
    encoder = Encoder(threads=1)
    for name in chosen.sets or every_set(chosen.data):
        found = compared(chosen.data / name, encoder, chosen.shards, chosen.questions)
        write({"set": name, "shards": chosen.shards, **found, "model": encoder.name, "dim": encoder.dim, **machine()})


def write(row: dict[str, Any]) -> None:
    kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    rows = [*(one for one in kept if (one["set"], one["shards"]) != (row["set"], row["shards"])), row]
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in rows))
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
