"""Which way of fusing late interaction with keywords is right more often: ranks or weighted scores?

    python benchmarks/fusion.py --data DATA [--sets arcd-ar poquad-pl ...] [--weights .3 .5 .7]

DATA is a folder of BEIR datasets. Each set is indexed once with the default model, as `polyvec index` would; its questions
are encoded once and searched in every mode at depth 100. nDCG@10 goes to benchmarks/results/fusion.jsonl, a line a set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from maxsim import machine  # noqa: E402

from polyvec import Encoder, SearchOptions  # noqa: E402
from polyvec.evaluation.dataset import load_dataset  # noqa: E402
from polyvec.evaluation.evaluation import build  # noqa: E402
from polyvec.evaluation.measures import compute_measures  # noqa: E402
from polyvec.index.views import open_view  # noqa: E402
from polyvec.search import Asked, search_each  # noqa: E402

RESULTS = HERE / "results" / "fusion.jsonl"
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
SETS = (*(f"xquad/{lang}" for lang in LANGUAGES), "arcd-ar", "poquad-pl", "fairytale-en")
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
        made, _ = build(dataset, encoder, place, nbits=nbits)
        made.close()
        view = open_view(place)
        texts = [query.text for query in queries]
        encoded = [one.vectors for one in encoder.encode_queries(texts)]
        asked = [Asked(text=text, vectors=vectors) for text, vectors in zip(texts, encoded, strict=True)]
        values = {}
        for name, options in ways(weights).items():
            hits = search_each(view.snapshot, view.catalog, asked, options, threads=threads)
            run = {q.id: {hit.id: hit.score for hit in found} for q, found in zip(queries, hits, strict=True)}
            per_query = compute_measures(dataset.qrels, run, [MEASURE])
            values[name] = round(sum(one[MEASURE] for one in per_query.values()) / len(per_query), 4)
        counts = view.catalog.counts()
        view.retire()
    return {"documents": counts["documents"], "questions": len(queries), "nDCG@10": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of BEIR datasets")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--weights", nargs="+", type=float, default=[0.3, 0.5, 0.7], help="shares of MaxSim")
    parser.add_argument("--nbits", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    encoder = Encoder(threads=arguments.threads)
    for name in arguments.sets:
        row = {
            "set": name,
            **judged(arguments.data / name, encoder, arguments.nbits, arguments.weights, arguments.threads),
            "model": encoder.name,
            "dim": encoder.dim,
            "nbits": arguments.nbits,
            **machine(),
        }
        kept = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
        rows = [*(one for one in kept if one["set"] != name), row]
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in rows))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
