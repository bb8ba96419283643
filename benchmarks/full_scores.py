"""How much of this machine's int8 peak does scoring documents in full reach, on one thread?

    python benchmarks/full_scores.py VECTORS INDEX

VECTORS is what benchmarks/vectors.py made, INDEX one that benchmarks/engine.py built of it. 1,000 documents drawn at random are
scored with one query of 32 tokens; the peak is a loop of the same instructions on registers alone. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from peak import peaks
from vectors import load_queries

import polyvec
from polyvec.index.kernels import codes_kernels

DOCUMENTS, ROUNDS = 1_000, 200


def report(cache: Path, folder: Path) -> dict[str, object]:
    """Nanoseconds a document token and the share of the peak: the median time against the best loop before and after."""
    queries = load_queries(cache, "sentences").vectors
    with polyvec.Index.open(folder) as index:
        snapshot = index._view.snapshot
        codec, segment = snapshot.codec, max((live.segment for live in snapshot.segments), key=lambda s: s.n_documents)
        assert codec is not None
        rng = np.random.default_rng(0)
        times, highest = [], peaks()["int8"]
        for turn in range(ROUNDS):
            positions = np.sort(rng.choice(segment.n_documents, DOCUMENTS, replace=False))
            tokens = int(segment.doclens[positions].sum())
            coded = codec.query(queries[turn % len(queries)])
            segment.score(coded, positions, 1)  # what is timed is arithmetic, not page faults
            started = time.perf_counter()
            segment.score(coded, positions, 1)
            seconds = time.perf_counter() - started
            times.append(seconds / tokens)
        highest = max(highest, peaks()["int8"])
        return {
            "nanoseconds_per_token": round(1e9 * float(np.median(times)), 2),
            "share_of_peak": round(coded.rows.size / float(np.median(times)) / highest, 3),
            "peak_gmac_per_second": round(highest / 1e9, 1),
            "kernel": codes_kernels()[0],
        }


if __name__ == "__main__":
    print(json.dumps(report(Path(sys.argv[1]), Path(sys.argv[2]))))
