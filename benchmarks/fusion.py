"""Which way of fusing late interaction with keywords is right more often: ranks or weighted scores?

    python benchmarks/fusion.py --data DATA [--sets xquad/de arcd-ar ...] [--weights .5 .7 .8 .9]
    python benchmarks/fusion.py --data DATA --cache VECTORS --documents 40000

DATA has `eval`, a folder of BEIR datasets. Each set is indexed once with the default model, as `polyvec index` would; its
questions are encoded once and searched in every mode at depth 100. With VECTORS, what benchmarks/vectors.py made of DATA,
the same is done for its judged questions among all its documents. nDCG@10 goes to benchmarks/results/fusion.jsonl, a
line a set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from living import Cached  # noqa: E402
from maxsim import machine  # noqa: E402
from vectors import SEED, judged_questions, load_collection, load_queries, texts_in_order  # noqa: E402

from polyvec import Encoder, Index, SearchOptions  # noqa: E402
from polyvec.evaluation.dataset import load_dataset  # noqa: E402
from polyvec.evaluation.evaluation import build  # noqa: E402
from polyvec.evaluation.measures import compute_measures  # noqa: E402
from polyvec.index.views import open_view  # noqa: E402
from polyvec.search.retrieve import PreparedQuery, search_each  # noqa: E402

RESULTS = HERE / "results" / "fusion.jsonl"
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
SETS = (
    *(f"xquad/{lang}" for lang in LANGUAGES),
    "arcd-ar",
    "poquad-pl",
    "fairytale-en",
    "amqa-am",
    "norquad-no",
    "swequad-sv",
)
MEASURE = "nDCG@10"


def ways(weights: list[float]) -> dict[str, SearchOptions]:
    """Every way to search, by name."""
    hybrid = SearchOptions(k=100, mode="hybrid")
    return {
        "late": replace(hybrid, mode="late"),
        "keyword": replace(hybrid, mode="keyword"),
        "rank": replace(hybrid, fusion="rank"),
        **{f"weight {share:g}": replace(hybrid, fusion="weight", weight=share) for share in weights},
    }


def judged(path: Path, encoder: Encoder, nbits: int, weights: list[float], threads: int) -> dict[str, Any]:
    dataset = load_dataset(str(path))
    queries = dataset.judged_queries()
    with tempfile.TemporaryDirectory(prefix="polyvec-fusion-") as folder:
        place = Path(folder) / "index"
        build(dataset, encoder, place, nbits=nbits)[0].close()
        texts = [query.text for query in queries]
        vectors = [one.vectors for one in encoder.stream_queries(texts)]
        return compared(place, [query.id for query in queries], texts, vectors, dataset.qrels, weights, threads)


def judged_among_many(
    data: Path, cache: Path, documents: int, nbits: int, weights: list[float], threads: int
) -> dict[str, Any]:
    questions = judged_questions(data, np.random.default_rng(SEED))
    vectors = load_queries(cache, "questions").vectors
    ids = [str(number) for number in range(len(questions))]
    qrels = {n: dict.fromkeys(names, 1) for n, (_, names) in zip(ids, questions, strict=True)}
    encoder: Any = Cached(load_collection(cache, documents))
    with tempfile.TemporaryDirectory(prefix="polyvec-fusion-") as folder:
        place = Path(folder) / "index"
        with Index.create(place, encoder=encoder, nbits=nbits) as index:
            index.add({"id": name, "text": text} for name, text in texts_in_order(data, documents))
        return compared(place, ids, [text for text, _ in questions], vectors, qrels, weights, threads)


def compared(
    place: Path,
    ids: list[str],
    texts: list[str],
    vectors: list[Any],
    qrels: dict[str, dict[str, int]],
    weights: list[float],
    threads: int,
) -> dict[str, Any]:
    view = open_view(place)
    asked = [PreparedQuery(text=text, vectors=one) for text, one in zip(texts, vectors, strict=True)]
    values = {}
    for name, options in ways(weights).items():
        hits = search_each(view.snapshot, view.catalog, asked, options, threads=threads)
        run = {number: {hit.id: hit.score for hit in found} for number, found in zip(ids, hits, strict=True)}
        per_query = compute_measures(qrels, run, [MEASURE])
        values[name] = round(sum(one[MEASURE] for one in per_query.values()) / len(per_query), 4)
    counts = view.catalog.counts()
    view.retire()
    return {"documents": counts["documents"], "questions": len(ids), MEASURE: values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with eval, and what VECTORS was made of")
    parser.add_argument("--cache", type=Path, help="what benchmarks/vectors.py made; no set is encoded then")
    parser.add_argument("--documents", type=int, default=40_000, help="of the cache")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--weights", nargs="+", type=float, default=[0.5, 0.7, 0.8, 0.9], help="shares of MaxSim")
    parser.add_argument("--nbits", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    about = {"nbits": chosen.nbits, **machine()}
    if chosen.cache is not None:
        found = judged_among_many(
            chosen.data, chosen.cache, chosen.documents, chosen.nbits, chosen.weights, chosen.threads
        )
        write({"set": f"all among {chosen.documents}", **found, **about})
        return
    encoder = Encoder(threads=chosen.threads)
    for name in chosen.sets:
        found = judged(chosen.data / "eval" / name, encoder, chosen.nbits, chosen.weights, chosen.threads)
        write({"set": name, **found, "model": encoder.name, "dim": encoder.dim, **about})


def write(row: dict[str, Any]) -> None:
    kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    rows = [*(one for one in kept if one["set"] != row["set"]), row]
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in rows))
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
