"""How fast, how good and how large: polyvec's encoder beside stock sentence-transformers, same weights, in one run.

Usage: python benchmarks/encoder.py --data DIR [--part documents queries large memory peaks] [--threads N]

DIR holds BEIR folders (corpus.jsonl, queries.jsonl, qrels/test.tsv), one or two levels deep. Rounds are interleaved,
and speed-ups are medians of ratios within a round, so that a busy moment on the machine hits all sides. One JSON line
a result.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("documents", "queries", "large", "memory", "peaks")
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["fairytale-en", "xquad/en", "xquad/es", "xquad/zh"])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, help="append the lines to this file too")
    arguments = parser.parse_args()
    logging.getLogger("polyvec").setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(arguments.threads)
    sets = {name: Judged(arguments.data / name) for name in arguments.sets}
    for part in arguments.part:
        for line in globals()[f"run_{part}"](sets):
            line |= {"part": part, "threads": arguments.threads, "load": round(os.getloadavg()[0], 1), **machine()}
            text = json.dumps(line, ensure_ascii=False)
            print(text, flush=True)
            if arguments.out is not None:
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(text + "\n")


class Judged:
    """Documents, queries and judgements of one BEIR folder."""

    def __init__(self, folder: Path) -> None:
        from polyvec.data import read_documents, read_qrels, read_queries

        documents = list(read_documents(folder / "corpus.jsonl"))
        self.ids, self.texts = [d.id for d in documents], [d.encoded_text for d in documents]
        self.qrels = read_qrels(folder / "qrels/test.tsv")
        self.queries = [query for query in read_queries(folder / "queries.jsonl") if query.id in self.qrels][:300]

    def ndcg(self, encode_query: Callable[..., Any], documents: list[np.ndarray]) -> float:
        """nDCG@10 of exact MaxSim."""
        tokens, starts = np.concatenate(documents), np.cumsum([0, *(len(d) for d in documents)])[:-1]
        total = 0.0
        for query, vectors in zip(self.queries, encode_query([q.text for q in self.queries]), strict=True):
            scores = np.maximum.reduceat(vectors @ tokens.T, starts, axis=1).sum(axis=0)
            judged = self.qrels[query.id]
            gains = [judged.get(self.ids[i], 0) for i in np.argsort(-scores, kind="stable")[:10]]
            ideal = sorted(judged.values(), reverse=True)[:10]
            total += discounted(gains) / discounted(ideal)
        return total / len(self.queries)


def discounted(gains: list[int]) -> float:
    return sum((2**gain - 1) / np.log2(rank + 2) for rank, gain in enumerate(gains))


def variants(
    model: str | Path | None = None,
) -> tuple[dict[str, Callable[..., Any]], dict[str, Callable[..., Any]], Any]:
    """Encoding functions of documents and of queries by name, stock first, and one of the encoders."""
    from polyvec import Encoder

    exact, small = Encoder(model), Encoder(model, precision="int8")
    stock = exact.model
    documents = {
        "stock": lambda texts: stock.encode_document(texts, convert_to_numpy=True, show_progress_bar=False),
        "polyvec fp32": exact.encode_document,
        "polyvec int8": small.encode_document,
    }
    queries = {
        "stock": lambda texts: stock.encode_query(texts, convert_to_numpy=True, show_progress_bar=False),
        "polyvec fp32": exact.encode_query,
        "polyvec int8": small.encode_query,
    }
    return documents, queries, exact


def interleaved(functions: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Name -> (median seconds, median speed-up over the first within a round)."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    first = next(iter(seconds.values()))
    return {
        name: (statistics.median(own), statistics.median(a / b for a, b in zip(first, own, strict=True)))
        for name, own in seconds.items()
    }


def run_documents(sets: dict[str, Judged]) -> Iterator[dict[str, Any]]:
    documents, queries, encoder = variants()
    texts = [text for judged in sets.values() for text in judged.texts]
    np.random.default_rng(0).shuffle(texts)
    texts = texts[:160]
    tokens = sum(len(piece) for pieces in encoder._tokens.documents(texts) for piece in pieces)
    timed = interleaved({name: lambda f=function: f(texts) for name, function in documents.items()})
    quality: dict[str, dict[str, float]] = {name: {} for name in documents}
    for set_name, judged in sets.items():
        for name, encode in documents.items():
            quality[name][set_name] = round(judged.ndcg(queries[name], encode(judged.texts)), 4)
    for name, (seconds, speedup) in timed.items():
        yield {
            "model": encoder.name,
            "variant": name,
            "documents_s": round(len(texts) / seconds, 1),
            "tokens_s": round(tokens / seconds),
            "speedup": round(speedup, 2),
            "ndcg@10": quality[name],
            "ndcg@10 mean": round(statistics.mean(quality[name].values()), 4),
        }


def run_queries(sets: dict[str, Judged]) -> Iterator[dict[str, Any]]:
    _, queries, encoder = variants()
    texts = [query.text for judged in sets.values() for query in judged.queries[:15]]
    times: dict[str, list[float]] = {name: [] for name in queries}
    for text in texts * 2:
        for name, encode in queries.items():
            started = time.perf_counter()
            encode([text])
            times[name].append(time.perf_counter() - started)
    for name, own in times.items():
        share = statistics.median(b / a for a, b in zip(times["stock"], own, strict=True))
        median = round(1000 * statistics.median(own), 2)
        yield {"model": encoder.name, "variant": name, "median_ms": median, "share_of_stock": round(share, 2)}


def run_large(sets: dict[str, Judged]) -> Iterator[dict[str, Any]]:
    """A backbone of jina-colbert-v2's size, random weights: speed only."""
    with tempfile.TemporaryDirectory() as folder:
        random_backbone(Path(folder), layers=24, hidden=1024)
        documents, queries, encoder = variants(folder)
        texts = [text for judged in sets.values() for text in judged.texts]
        np.random.default_rng(1).shuffle(texts)
        texts = texts[:10]
        tokens = sum(len(piece) for pieces in encoder._tokens.documents(texts) for piece in pieces)
        for kind, functions, given in (("documents", documents, texts), ("query", queries, [sets_query(sets)])):
            timed = interleaved({n: lambda f=f, g=given: f(g) for n, f in functions.items()}, rounds=3)
            for name, (seconds, speedup) in timed.items():
                rate = {"tokens_s": round(tokens / seconds)} if kind == "documents" else {"ms": round(1000 * seconds)}
                yield {
                    "model": "24 x 1024, random",
                    "variant": name,
                    "kind": kind,
                    **rate,
                    "speedup": round(speedup, 2),
                }


def sets_query(sets: dict[str, Judged]) -> str:
    return next(iter(sets.values())).queries[0].text


def random_backbone(folder: Path, *, layers: int, hidden: int) -> None:
    """A rotary backbone with random weights and the default model's tokenizer."""
    import torch
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    from polyvec import Encoder

    tokenizer = Encoder().model.tokenizer
    torch.manual_seed(0)
    config = JinaEmbeddingsV3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    JinaEmbeddingsV3Model(config, add_pooling_layer=False).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def run_memory(sets: dict[str, Judged]) -> Iterator[dict[str, Any]]:
    """Peak resident memory while a long stream goes by, with a small backbone so that the stream can be long."""
    from polyvec import Encoder

    with tempfile.TemporaryDirectory() as folder:
        random_backbone(Path(folder), layers=1, hidden=64)
        encoder = Encoder(folder)
        texts = [text[:400] for judged in sets.values() for text in judged.texts]

        def stream(n: int) -> Iterator[str]:
            for i in range(n):
                yield f"{i} {texts[i % len(texts)]}"

        for seen, _ in enumerate(encoder.stream_documents(stream(100_000)), start=1):
            if seen in (1, 5_000, 10_000, 50_000, 100_000):
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                yield {"documents": seen, "peak_mb": round(peak), "resident_mb": round(resident_mb())}
    if platform.system() == "Linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the C library kept in pieces, for use again
        yield {"documents": seen, "resident_after_trim_mb": round(resident_mb())}


def resident_mb() -> float:
    """Memory held now, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)


def run_peaks(sets: dict[str, Judged]) -> Iterator[dict[str, Any]]:
    """What the machine can do: the best of several large products, and a copy."""
    import torch

    with torch.inference_mode():
        x, weight = torch.randn(4096, 384), torch.randn(1536, 384)
        best = min(timed(lambda: torch.nn.functional.linear(x, weight)) for _ in range(15))
        y = torch.randn(64 << 20)
        copy = min(timed(y.clone) for _ in range(5))
    yield {"fp32_gflops": round(2 * 4096 * 384 * 1536 / best / 1e9), "copy_gb_s": round(2 * y.nbytes / copy / 1e9, 1)}


def timed(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def machine() -> dict[str, str]:
    import sentence_transformers
    import torch

    versions = f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}"
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "versions": versions,
    }


if __name__ == "__main__":
    main()
