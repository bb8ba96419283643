"""How fast is the encoder, beside torch and ONNX Runtime with the same weights, in one run?

    python benchmarks/encoder.py --data DATA [--part documents questions large agreement memory start command] [--threads 1 2]

DATA holds BEIR folders (corpus.jsonl, queries.jsonl), one or two levels deep. Contestants take turns; a ratio is the median of
ratios within a round, by the clock and by processor time, which does not see what else the machine does. ONNX Runtime takes part
where onnxruntime and onnx are installed. To compare on AVX2 alone, set POLYVEC_KERNEL=avx2, ATEN_CPU_CAPABILITY=avx2,
ONEDNN_MAX_CPU_ISA=AVX2 and MKL_ENABLE_INSTRUCTIONS=AVX2. One JSON line a result.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from polyvec import Encoder, _native
from polyvec.data import read_documents, read_queries

PARTS = ("documents", "questions", "large", "agreement", "memory", "start", "command")
OURS = "native int8"  # others are compared with it
SETS = ("fairytale-en", "xquad/en", "xquad/es", "xquad/zh")
QUESTION_TOKENS = (12, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--documents", type=int, default=60, help="documents of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stream", type=int, default=20_000, help="documents of the memory part")
    parser.add_argument("--out", type=Path, help="append the lines to this file too")
    arguments = parser.parse_args()
    logging.getLogger("polyvec").setLevel(logging.ERROR)
    texts = [d.encoded_text for name in arguments.sets for d in read_documents(arguments.data / name / "corpus.jsonl")]
    questions = [q.text for name in arguments.sets for q in read_queries(arguments.data / name / "queries.jsonl")]
    np.random.default_rng(0).shuffle(texts)
    for part in arguments.part:
        for threads in arguments.threads if part in ("documents", "questions", "large") else [1]:
            for found in globals()[f"run_{part}"](texts, questions, threads, arguments):
                line = {"part": part, "threads": threads, **found, "load": round(os.getloadavg()[0], 1), **machine()}
                print(json.dumps(line), flush=True)
                if arguments.out is not None:
                    with arguments.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")


# -- speed -------------------------------------------------------------------------------------------------------------


def run_documents(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    texts = texts[: arguments.documents]
    encoders = contestants(None, threads)
    tokens = tokens_of(encoders[OURS], texts)
    peaks: list[float] = []
    calls: dict[str, Callable[[], Any]] = {
        name: lambda e=encoder: e.encode_document(texts) for name, encoder in encoders.items()
    }
    calls["peak"] = lambda: peaks.extend(int8_peak() for _ in range(20))
    for line in rates(interleaved(calls, arguments.rounds), tokens):
        if line["contestant"] == OURS:
            share = line["tokens_per_cpu_second"] * products_a_token(6, 384) / max(peaks)
            line |= {"int8_peak_g": round(max(peaks) / 1e9), "share_of_peak": round(share, 3)}
        yield line


def run_questions(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    encoders = contestants(None, threads)
    for length in QUESTION_TOKENS:
        asked = [text for text in questions if tokens_of(encoders[OURS], [text], query=True) == length][:40]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
        for text in asked * 3:
            for name, encoder in encoders.items():
                times[name].append(seconds(lambda e=encoder, t=text: e.encode_query(t)))  # type: ignore[misc]
        for name, own in times.items():
            wall, cpu = (statistics.median(one[i] for one in own) for i in (0, 1))
            yield {
                "contestant": name,
                "tokens": length,
                "ms": round(1000 * wall, 2),
                "cpu_ms": round(1000 * cpu, 2),
                **slower(times[OURS], own),
            }


def run_large(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A backbone of jina-colbert-v2's size with random weights: what it says does not matter here."""
    with tempfile.TemporaryDirectory() as folder:
        random_backbone(Path(folder), layers=24, hidden=1024)
        encoders = contestants(folder, threads, ("native int8", "torch fp32", "torch int8"))
        texts = texts[:6]
        calls = {name: lambda e=encoder: e.encode_document(texts) for name, encoder in encoders.items()}
        yield from rates(interleaved(calls, 3), tokens_of(encoders[OURS], texts))


def contestants(model: str | None, threads: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Encoders by name, ours first."""
    makers: dict[str, Callable[[], Any]] = {
        OURS: lambda: Encoder(model, backend="native", precision="int8", threads=threads),
        "native fp32": lambda: Encoder(model, backend="native", precision="fp32", threads=threads),
        "torch fp32": lambda: Encoder(model, backend="torch", precision="fp32", threads=threads),
        "torch int8": lambda: Encoder(model, backend="torch", precision="int8", threads=threads),
    }
    if onnxruntime_is_here():
        makers["onnxruntime int8"] = lambda: OnnxEncoder(threads)
    return {name: make() for name, make in makers.items() if not only or name in only}


def onnxruntime_is_here() -> bool:
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


class OnnxEncoder:
    """The default model in ONNX Runtime, quantized dynamically, an output channel a scale; bigrams and norms are ours."""

    def __init__(self, threads: int, bigrams: float | None = None) -> None:
        import onnxruntime
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic

        self._encoder = Encoder(backend="native", precision="fp32", threads=1, bigrams=bigrams)
        model = Encoder(backend="torch", bigrams=0).model

        class Whole(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.backbone, self.heads = model[0].model, model[1]

            def forward(self, input_ids: Any, attention_mask: Any) -> Any:
                hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
                return self.heads({"token_embeddings": hidden})["token_embeddings"]

        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            exact, small = Path(folder, "exact.onnx"), Path(folder, "int8.onnx")
            ids = torch.ones((2, 9), dtype=torch.long)
            names = ["input_ids", "attention_mask"]
            axes = {name: {0: "texts", 1: "tokens"} for name in (*names, "rows")}
            torch.onnx.export(
                Whole(),
                (ids, ids),
                str(exact),
                input_names=names,
                output_names=["rows"],
                dynamic_axes=axes,
                dynamo=False,
            )
            quantize_dynamic(exact, small, weight_type=QuantType.QInt8, per_channel=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self._session = onnxruntime.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])

    def encode_document(self, texts: list[str]) -> list[np.ndarray]:
        """Batches of about 512 tokens and texts of about the same length, which are the fastest here."""
        pieces = [piece for found in self._encoder._tokens.documents(texts) for piece in found]
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        vectors: list[np.ndarray] = [np.empty(0)] * len(pieces)
        while order:
            longest = len(pieces[order[-1]])
            batch = [order.pop() for _ in range(min(len(order), max(1, 512 // longest)))]
            for i, rows in zip(batch, self._rows([pieces[i] for i in batch]), strict=True):
                vectors[i] = rows[pieces[i].keep]
        return vectors

    def encode_query(self, text: str) -> np.ndarray:
        return self._rows(self._encoder._tokens.queries([text]))[0]

    def _rows(self, pieces: list[Any]) -> list[np.ndarray]:
        from polyvec.encoder.encoded import unit

        ids = np.zeros((len(pieces), max(map(len, pieces))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, piece in enumerate(pieces):
            ids[i, : len(piece)], mask[i, : len(piece)] = piece.ids, 1
        (rows,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        bigrams = self._encoder._forward._bigrams  # type: ignore[attr-defined]
        units = [unit(found[: len(piece)]) for found, piece in zip(rows, pieces, strict=True)]
        if bigrams is None:
            return units
        return [unit(bigrams.added(one, piece.ids)) for one, piece in zip(units, pieces, strict=True)]


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of the processor of every round, after one that does not count."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for count in range(rounds + 1):
        for name, call in calls.items():
            took = seconds(call)
            if count:
                times[name].append(took)
    return times


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def rates(times: dict[str, list[tuple[float, float]]], tokens: int) -> Iterator[dict[str, Any]]:
    for name, own in times.items():
        if name != "peak":
            wall, cpu = (statistics.median(one[i] for one in own) for i in (0, 1))
            rate = {"tokens_per_second": round(tokens / wall), "tokens_per_cpu_second": round(tokens / cpu)}
            yield {"contestant": name, **rate, **slower(times[OURS], own)}


def slower(ours: list[tuple[float, float]], own: list[tuple[float, float]]) -> dict[str, float]:
    """How many times as long as ours, by the clock and by processor time."""
    ratios = ([b[i] / a[i] for a, b in zip(ours, own, strict=True)] for i in (0, 1))
    return {key: round(statistics.median(found), 2) for key, found in zip(("times", "cpu_times"), ratios, strict=True)}


def tokens_of(encoder: Any, texts: list[str], *, query: bool = False) -> int:
    found = encoder._tokens.queries(texts) if query else [p for ps in encoder._tokens.documents(texts) for p in ps]
    return sum(map(len, found))


def int8_peak() -> float:
    """int8 multiply-adds in a second of processor time on one thread, from registers alone."""
    found: list[float] = []
    wall, cpu = seconds(lambda: found.append(_native.int8_peak("")))
    return found[0] * wall / cpu


def products_a_token(layers: int, hidden: int) -> int:
    """Multiply-adds of the linear layers: queries, keys, values and output, and two of the feed-forward network."""
    return layers * hidden * hidden * (4 + 8)


def random_backbone(folder: Path, *, layers: int, hidden: int) -> None:
    """A rotary backbone with random weights and the default model's tokenizer."""
    import torch
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    tokenizer = Encoder(backend="torch").model.tokenizer
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    config = JinaEmbeddingsV3Config(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, rope_parameters=rope,
    )  # fmt: skip
    JinaEmbeddingsV3Model(config, add_pooling_layer=False).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


# -- agreement, memory, start ------------------------------------------------------------------------------------------


def run_agreement(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Cosines of a token's vectors with those in fp32, without bigrams, which would hide differences."""
    exact = Encoder(backend="native", precision="fp32", bigrams=0)
    others: dict[str, Any] = {OURS: Encoder(backend="native", precision="int8", bigrams=0)}
    if onnxruntime_is_here():
        others["onnxruntime int8"] = OnnxEncoder(1, bigrams=0)
    for what, given in (("documents", texts[: arguments.documents]), ("questions", questions[:200])):
        for name, other in others.items():
            if what == "documents":
                pairs = list(zip(exact.encode_document(given), other.encode_document(given), strict=True))
            else:
                pairs = [(exact.encode_query(text), other.encode_query(text)) for text in given]
            cosines = np.concatenate([(one * two).sum(axis=1) for one, two in pairs])
            spread = {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 5)}
            yield {"contestant": name, "what": what, "vectors": len(cosines), **spread}


def run_memory(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Resident memory while a long stream goes by, in a process of its own."""
    code = f"""
import json, resource, sys
from polyvec import Encoder
texts = json.load(sys.stdin)
encoder = Encoder(threads=1)
stream = (f"{{i}} {{texts[i % len(texts)][:160]}}" for i in range({arguments.stream}))
for seen, _ in enumerate(encoder.stream_documents(stream), start=1):
    if seen in (1, 1000) or seen % {max(1, arguments.stream // 5)} == 0:
        resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / (1 << 20)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(dict(documents=seen, resident_mb=round(resident), peak_mb=round(peak))), flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(texts[:500]), capture_output=True, text=True, check=True
    )
    yield from map(json.loads, done.stdout.splitlines())


def run_start(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A process from nothing to the vectors of one question."""
    code = f"from polyvec import Encoder; Encoder(threads=1).encode_query({questions[0]!r})"
    walls, cpus = [], []
    for _ in range(arguments.rounds):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - started)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    peak = f"import resource; {code}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    printed = subprocess.run([sys.executable, "-c", peak], check=True, capture_output=True, text=True).stdout
    yield {"seconds": round(min(walls), 2), "cpu_seconds": round(min(cpus), 2), "peak_mb": int(printed)}


def run_command(
    texts: list[str], questions: list[str], threads: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """`polyvec search` of the demo corpus from nothing, late and keyword in turn. The first of each writes bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[tuple[float, float]]] = {"late": [], "keyword": []}
    with tempfile.TemporaryDirectory() as folder:
        polyvec = [sys.executable, "-c", "import sys; from polyvec.cli import main; sys.exit(main())"]
        corpus = str(Path(_native.__file__).parent / "demo" / "corpus")
        subprocess.run([*polyvec, "index", corpus, "i"], cwd=folder, check=True, capture_output=True)
        for _, (mode, taken) in product(range(1 + 2 * arguments.rounds), times.items()):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(
                [*polyvec, "search", "i", questions[0], "-k", "3", "--mode", mode],
                cwd=folder, env=environment, check=True, capture_output=True,
            )  # fmt: skip
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
            taken.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    ratio = statistics.median(
        one[1] / other[1] for one, other in zip(times["late"][1:], times["keyword"][1:], strict=True)
    )
    for mode, taken in times.items():
        wall, cpu = (statistics.median(each) for each in zip(*taken[1:], strict=True))
        yield {
            "mode": mode,
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "cpu_late_to_keyword": round(ratio, 2),
        }


def machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    versions = []
    for package in ("polyvec", "numpy", "torch", "onnxruntime"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    kernel = _native.encoder_kernel("")
    return {"machine": f"{name}, {os.cpu_count()} cores, kernel {kernel}", "versions": ", ".join(versions)}


if __name__ == "__main__":
    main()
