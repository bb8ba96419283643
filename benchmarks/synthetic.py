"""Real token vectors -> a larger collection of made-up documents, for benchmarks/engine.py --synthetic.

    python benchmarks/synthetic.py --cache VECTORS --folder FOLDER [--documents 1000000]

FOLDER begins with the real documents of VECTORS (benchmarks/vectors.py), linked to. Each document that follows has the length
and the tokens of a real short one, every token turned towards a token of any short one: 0.84 of the one and 0.55 of the other,
at length 1. So clusters stay where real text has them, no two documents are the same, and what is made up can
still push real documents out of a top ten. Made in parts of 10,000 documents; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from vectors import MIXED, PART, load_collection

SEED = 23
OWN, OTHER = 0.7**0.5, 0.3**0.5  # shares of a token's two sources


def make(cache: Path, folder: Path, documents: int) -> None:
    """Write the parts that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    real = PART * len(list(cache.glob("part-*.json")))
    for path in [*cache.glob("part-*"), *cache.glob("questions.*"), *cache.glob("sentences.*")]:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())
    sources = load_collection(cache, real, first=MIXED)  # the short ones
    lengths = np.diff(sources.offsets)
    for start in range(real, documents, PART):
        path = folder / f"part-{start // PART:03d}"
        if path.with_suffix(".json").exists():
            continue
        rng = np.random.default_rng([SEED, start])
        chosen = rng.integers(0, len(lengths), PART)
        doclens = lengths[chosen]
        own = np.repeat(sources.offsets[chosen] - np.cumsum(doclens) + doclens, doclens) + np.arange(doclens.sum())
        mixed = OWN * sources.tokens[own].astype(np.float32)
        mixed += OTHER * sources.tokens[rng.integers(0, len(sources.tokens), len(own))].astype(np.float32)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        np.save(f"{path}.tokens.npy", mixed.astype(np.float16))
        np.save(f"{path}.ids.npy", sources.token_ids[own])
        np.save(f"{path}.doclens.npy", doclens)
        path.with_suffix(".json").write_text(json.dumps([f"s{start + i}" for i in range(PART)]), encoding="utf-8")
        print(f"{start + PART} documents", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="Folder of benchmarks/vectors.py.")
    parser.add_argument("--folder", type=Path, required=True, help="Where the larger collection goes.")
    parser.add_argument("--documents", type=int, default=1_000_000)
    arguments = parser.parse_args()
    make(arguments.cache, arguments.folder, arguments.documents)


if __name__ == "__main__":
    main()
