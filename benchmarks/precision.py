"""What int8 arithmetic costs in quality: the default model in int8 and in fp32, each through an index of its own.

    python benchmarks/precision.py --data EVAL [--sets arcd-ar xquad/de ...] [--nbits 16 4 2] [--model FOLDER] [--orders 3]

EVAL is a folder of BEIR datasets, one or two levels deep. Queries and documents of a set are encoded once in each arithmetic
and indexed at each number of bits, as `polyvec index` would. k-means depends on the order of documents, so every figure is
a mean over several orders, and "spread" is how far these are apart in fp32. nDCG@10 of the judged questions goes to
benchmarks/results/precision.jsonl, a line a set and a number of bits, with the difference for each language of the questions. The
last lines have the average over sets and the largest losses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from maxsim import machine  # noqa: E402

from polyvec import Encoded, Encoder, SearchOptions  # noqa: E402
from polyvec.encoder import TokenEncoder  # noqa: E402
from polyvec.evaluation.dataset import Dataset, load_dataset  # noqa: E402
from polyvec.evaluation.evaluation import evaluate  # noqa: E402

RESULTS = HERE / "results" / "precision.jsonl"
MEASURE = "nDCG@10"
LEAST_QUESTIONS = 100  # of a language: the mean of fewer says little


class Kept:
    """An encoder that encodes every text once, since one set is indexed several times."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kept: dict[tuple[str, str], Encoded] = {}
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self.dim, self.document_length = encoder.dim, encoder.document_length

    def settings(self) -> dict[str, Any]:
        return self._encoder.settings()

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        return self._encoded("query", texts, self._encoder.stream_queries)

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        return self._encoded("document", texts, self._encoder.stream_documents)

    def _encoded(self, task: str, texts: Iterable[str], encode: Callable[..., Iterator[Encoded]]) -> Iterator[Encoded]:
        texts = list(texts)
        missing = list(dict.fromkeys(text for text in texts if (task, text) not in self._kept))
        for text, one in zip(missing, encode(missing), strict=True):
            self._kept[task, text] = one
        return (self._kept[task, text] for text in texts)


def folders(data: Path) -> list[str]:
    """Names of the datasets below a folder."""
    return sorted(path.parent.relative_to(data).as_posix() for path in data.glob("**/queries.jsonl"))


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """The same documents in another order."""
    documents = list(dataset.documents())
    np.random.default_rng(seed).shuffle(documents)  # type: ignore[arg-type]
    return replace(dataset, documents=lambda: iter(documents))


def judged(dataset: Dataset, encoder: TokenEncoder, nbits: int, threads: int) -> dict[str, float]:
    """The measure: overall, as "", and for each language of the questions that has enough of them."""
    options = SearchOptions(k=10)
    found = evaluate(dataset, encoder=encoder, nbits=nbits, measures=(MEASURE,), options=options, threads=threads)
    counts = Counter(query.lang for query in dataset.judged_queries())
    languages = {lang: values[MEASURE] for lang, values in found.by_lang.items() if counts[lang] >= LEAST_QUESTIONS}
    return {"": found.measures[MEASURE], **languages}


def compared(
    dataset: Dataset, encoders: dict[str, TokenEncoder], nbits: int, orders: int, threads: int
) -> dict[str, Any]:
    """One line: both arithmetics through indexes of so many bits."""
    found = {
        precision: [judged(shuffled(dataset, seed), encoder, nbits, threads) for seed in range(orders)]
        for precision, encoder in encoders.items()
    }
    means = {
        precision: {key: statistics.mean(one[key] for one in several) for key in several[0]}
        for precision, several in found.items()
    }
    differences = {key: round(means["int8"][key] - exact, 4) for key, exact in means["fp32"].items()}
    overall = [one[""] for one in found["fp32"]]
    return {
        "nbits": nbits,
        "questions": len(dataset.judged_queries()),
        MEASURE: {precision: round(mean[""], 4) for precision, mean in means.items()},
        "difference": differences.pop(""),
        "spread": round(max(overall) - min(overall), 4),
        "languages": differences,
    }


def summary(lines: Sequence[dict[str, Any]], nbits: int) -> dict[str, Any]:
    """The average over sets, each with the same weight, and the largest losses of a set or of a language in one."""
    lines = [line for line in lines if line["nbits"] == nbits]
    losses = {line["set"]: line["difference"] for line in lines}
    losses |= {f"{line['set']} {lang}": loss for line in lines for lang, loss in line["languages"].items()}
    macro = {way: round(statistics.mean(line[MEASURE][way] for line in lines), 4) for way in ("fp32", "int8")}
    return {
        "nbits": nbits,
        "sets": len(lines),
        "macro": macro,
        "losses": dict(sorted(losses.items(), key=itemgetter(1))[:6]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", help="folders below it; all by default")
    parser.add_argument("--nbits", nargs="+", type=int, default=[16, 4, 2])
    parser.add_argument("--model", help="default: the model that ships with the package")
    parser.add_argument("--orders", type=int, default=3, help="orders of documents to average over")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    encoders = {
        precision: Encoder(arguments.model, precision=precision, backend="native", threads=arguments.threads)
        for precision in ("fp32", "int8")
    }
    about = {"model": encoders["int8"].name, "dim": encoders["int8"].dim, "orders": arguments.orders, **machine()}
    lines: list[dict[str, Any]] = []
    for name in arguments.sets or folders(arguments.data):
        dataset = load_dataset(arguments.data / name)
        kept: dict[str, TokenEncoder] = {precision: Kept(encoder) for precision, encoder in encoders.items()}
        for nbits in arguments.nbits:
            orders = 1 if nbits == 16 else arguments.orders  # fp16 vectors need no k-means
            lines.append({"set": name, **compared(dataset, kept, nbits, orders, arguments.threads)})
            print(json.dumps(lines[-1]), flush=True)
    summaries = [summary(lines, nbits) for nbits in arguments.nbits]
    for line in summaries:
        print(json.dumps(line))
    arguments.out.write_text("".join(json.dumps(line | about) + "\n" for line in lines + summaries), encoding="utf-8")


if __name__ == "__main__":
    main()
