"""How fast is exact MaxSim of one query against 1,000 documents, beside torch, NumPy and maxsim-cpu?

    python benchmarks/maxsim.py [--rounds 15]

Work: 32 query tokens x about 175,000 document tokens x 128 dims = 0.7 G multiply-adds; bytes: each token vector once, 90 MB
in fp32, 45 MB in fp16. All contestants score the same vectors in turn, round after round; a line has the median time, the
median of the ratios within a round, the largest error against float64, and the share of this machine's measured peak.
Results go to benchmarks/results/maxsim.jsonl. maxsim-cpu is left out, by name, where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peak import peaks
from rich.console import Console
from rich.table import Table

from polyvec.scoring import available_kernels, default_threads, maxsim_packed

RESULTS = Path(__file__).parent / "results" / "maxsim.jsonl"
QUERY_TOKENS, DIM, DOCUMENTS = 32, 128, 1000


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, DIM), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def contestants(
    query: np.ndarray, tokens: np.ndarray, offsets: np.ndarray, threads: int
) -> tuple[dict[str, Callable[[], np.ndarray]], list[str]]:
    """Every way to score, by name, each given its inputs in the form it likes best; and who is missing."""
    half = tokens.astype(np.float16)
    starts = offsets[:-1]
    torch.set_num_threads(threads)
    t_query, t_tokens, t_half = torch.from_numpy(query), torch.from_numpy(tokens), torch.from_numpy(half)
    lengths = torch.from_numpy(np.diff(offsets))
    longest = int(lengths.max())
    padded = torch.zeros(DOCUMENTS, longest, DIM)
    for i in range(DOCUMENTS):
        padded[i, : lengths[i]] = t_tokens[offsets[i] : offsets[i + 1]]
    mask = torch.arange(longest)[None, :] >= lengths[:, None]

    def numpy_ragged() -> np.ndarray:
        return np.maximum.reduceat(query @ tokens.T, starts, axis=1).sum(axis=0)

    def numpy_half() -> np.ndarray:
        return np.maximum.reduceat(query @ half.astype(np.float32).T, starts, axis=1).sum(axis=0)

    def torch_ragged() -> np.ndarray:
        with torch.inference_mode():
            scores = t_tokens @ t_query.T
            return torch.segment_reduce(scores, "max", lengths=lengths, axis=0).sum(1).numpy()

    def torch_padded() -> np.ndarray:
        with torch.inference_mode():
            scores = (padded @ t_query.T).masked_fill(mask[:, :, None], -torch.inf)
            return scores.amax(1).sum(1).numpy()

    def torch_half() -> np.ndarray:
        with torch.inference_mode():
            scores = t_half.float() @ t_query.T
            return torch.segment_reduce(scores, "max", lengths=lengths, axis=0).sum(1).numpy()

    named: dict[str, Callable[[], np.ndarray]] = {
        "polyvec fp32": lambda: maxsim_packed(query, tokens, offsets, threads=threads),
        "polyvec fp16": lambda: maxsim_packed(query, half, offsets, threads=threads),
        "numpy fp32": numpy_ragged,
        "numpy fp16": numpy_half,
        "torch fp32, ragged": torch_ragged,
        "torch fp32, padded": torch_padded,
        "torch fp16, ragged": torch_half,
    }
    missing = []
    try:
        import maxsim_cpu
    except ImportError:
        missing.append("maxsim-cpu")
    else:
        documents = [tokens[offsets[i] : offsets[i + 1]] for i in range(DOCUMENTS)]
        named["maxsim-cpu fp32"] = lambda: np.asarray(maxsim_cpu.maxsim_scores_variable(query, documents))
    return named, missing


def measure(named: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in named}
    for turn in range(rounds + 2):
        for name, call in named.items():
            start = time.perf_counter()
            call()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def run(threads: int, rounds: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 301, DOCUMENTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    query, tokens = unit(rng, QUERY_TOKENS), unit(rng, int(offsets[-1]))
    exact = np.maximum.reduceat(query.astype(np.float64) @ tokens.T.astype(np.float64), offsets[:-1], axis=1).sum(
        axis=0
    )
    named, missing = contestants(query, tokens, offsets, threads)
    errors = {name: float(np.abs(call() - exact).max()) for name, call in named.items()}
    times = measure(named, rounds)
    peak = peaks(threads)["fp32"]
    work = QUERY_TOKENS * DIM * int(offsets[-1])
    results = []
    for name, seconds in times.items():
        ours = times["polyvec fp16" if "fp16" in name else "polyvec fp32"]
        median = float(np.median(seconds))
        results.append(
            {
                "benchmark": "maxsim",
                "contestant": name,
                "threads": threads,
                "milliseconds": round(1000 * median, 3),
                "polyvec_is_faster_by": round(float(np.median(np.divide(seconds, ours))), 2),
                "share_of_peak": round(work / median / peak, 3),
                "largest_error": float(f"{errors[name]:.2e}"),
                "peak_gfma_per_second": round(peak / 1e9, 1),
                "kernel": available_kernels()[0],
                "missing": missing,
                **machine(),
            }
        )
    return results


def machine() -> dict[str, object]:
    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    model = _processor()
    names = ("polyvec", "numpy", "torch", "maxsim-cpu")
    return {"machine": model, "cores": default_threads(), "versions": {name: version(name) for name in names}}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    command = " ".join(["python", "benchmarks/maxsim.py", *sys.argv[1:]])
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None  # others' work at the start blurs times
    results = []
    for threads in sorted({1, default_threads()}):
        results += _in_process(threads, arguments.rounds)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", encoding="utf-8") as stream:
        for result in results:
            stream.write(json.dumps({**result, "load_average": load, "command": command}) + "\n")
    table = Table("threads", "contestant", "ms", "polyvec is faster by", "of peak", "largest error", box=None)
    for r in results:
        table.add_row(
            str(r["threads"]),
            str(r["contestant"]),
            f"{r['milliseconds']:.2f}",
            f"{r['polyvec_is_faster_by']:.2f}x",
            f"{r['share_of_peak']:.0%}",
            f"{r['largest_error']:.0e}",
        )
    Console().print(table)
    described = machine()
    Console().print(
        f"{described['machine']}, {described['cores']} cores, load {load} at the start; {described['versions']}"
    )
    Console().print(command, highlight=False)
    for name in results[0]["missing"]:  # type: ignore[attr-defined]
        Console().print(f"not measured: {name} is not installed")


def _in_process(threads: int, rounds: int) -> list[dict[str, object]]:
    """Torch and BLAS read their thread counts once: one process a count."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        environment[name] = str(threads)
    code = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r}); import maxsim; "
    code += f"print(json.dumps(maxsim.run({threads}, {rounds})))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    parsed: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return parsed


if __name__ == "__main__":
    main()
