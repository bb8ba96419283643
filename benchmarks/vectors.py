"""Texts -> real token vectors for benchmarks/engine.py, kept in a folder outside the repository.

    python benchmarks/vectors.py --data DATA --cache FOLDER [--documents 200000] [--threads 1]

DATA holds `eval` (BEIR folders) and `train/qa`, `train/parallel` (.jsonl.zst, one object a line). Documents stand in one
order, so that every smaller collection is the beginning of the larger ones: first the judged documents and long passages
mixed with paragraphs (40,000 of them, about 60 tokens each), then short paragraphs only. Written in parts of 10,000
documents; a run that was stopped goes on where it was. Queries: judged questions of their own length, and sentences of
32 tokens, cut where they are longer, as that is the length that engines are compared at.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SEED = 17
PART = 10_000  # documents a file
MIXED = 40_000  # documents before only short paragraphs follow
PASSAGES = 2_500  # long passages among them
SHORT_BYTES = (40, 120)  # of UTF-8: about 10 to 30 tokens in any script
JUDGED = {"xquad-mixed": 600, "fairytale-en": 200, "arcd-ar": 100, "poquad-pl": 100}  # questions taken of each set
SENTENCES, SENTENCE_TOKENS = 500, 32

Half = npt.NDArray[np.float16]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Collection:
    """The first documents of the cache. tokens: (T, dim) float16 unit rows · token_ids: (T,) int32 · offsets: (n + 1,)."""

    tokens: Half
    token_ids: npt.NDArray[np.int32]
    offsets: Int64
    names: list[str]


@dataclass(frozen=True)
class Queries:
    """vectors: one (q, dim) float32 array a query · relevant: for each the document names that are right, none if unjudged."""

    vectors: list[npt.NDArray[np.float32]]
    relevant: list[frozenset[str]]


def load_collection(cache: Path, documents: int, *, first: int = 0) -> Collection:
    """The documents up to number `documents`, from `first` on, a multiple of 10,000. Raises SystemExit where some are missing."""
    paths, ids, lengths, names = [], [], [], []
    for start in range(first, documents, PART):
        path = cache / f"part-{start // PART:03d}"
        if not path.with_suffix(".json").exists():
            raise SystemExit(
                f"{cache} holds {start} documents, {documents} are wanted: run benchmarks/vectors.py first"
            )
        doclens = np.load(f"{path}.doclens.npy")[: documents - start]
        lengths.append(doclens)
        paths.append(f"{path}.tokens.npy")
        ids.append(np.load(f"{path}.ids.npy")[: int(doclens.sum())])
        names += json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))[: documents - start]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    tokens = np.empty((int(offsets[-1]), np.load(paths[0], mmap_mode="r").shape[1]), np.float16)
    end = 0
    for path, own in zip(paths, ids, strict=True):  # one by one: what is mapped counts as memory too
        tokens[end : end + len(own)] = np.load(path, mmap_mode="r")[: len(own)]
        end += len(own)
    return Collection(tokens, np.concatenate(ids), offsets, names)


def load_queries(cache: Path, kind: str) -> Queries:
    """kind: "questions" (judged) or "sentences" (32 tokens each)."""
    flat = np.load(cache / f"{kind}.tokens.npy").astype(np.float32)
    offsets = np.load(cache / f"{kind}.offsets.npy")
    relevant = json.loads((cache / f"{kind}.json").read_text(encoding="utf-8"))
    vectors = [flat[a:b] for a, b in itertools.pairwise(offsets)]
    return Queries(vectors, [frozenset(names) for names in relevant])


# -- making them -------------------------------------------------------------------------------------------------------


def texts_in_order(data: Path, documents: int) -> list[tuple[str, str]]:
    """(name, text) of every document, in the order that makes small collections beginnings of large ones."""
    rng = np.random.default_rng(SEED)
    judged = [
        (f"{name}/{row['_id']}", f"{row.get('title') or ''} {row['text']}".strip())
        for name in (*JUDGED, "ntrex-xx-en")
        for row in _lines(data / "eval" / name / "corpus.jsonl")
    ]
    passages = _unique(data / "train" / "qa", "document")
    paragraphs = [text for text in _unique(data / "train" / "parallel", "text") if len(text.encode()) >= SHORT_BYTES[0]]
    order = rng.permutation(len(paragraphs))
    chosen = [passages[i] for i in rng.choice(len(passages), min(PASSAGES, len(passages)), replace=False)]
    first = MIXED - len(judged) - len(chosen)
    mixed = [(f"p{i}", paragraphs[i]) for i in order[:first]] + [(f"q{i}", text) for i, text in enumerate(chosen)]
    rng.shuffle(mixed)
    head = judged + mixed[: PART - len(judged)]
    rng.shuffle(head)
    short = [(f"p{i}", paragraphs[i]) for i in order[first:] if len(paragraphs[i].encode()) <= SHORT_BYTES[1]]
    result = head + mixed[PART - len(judged) :] + short
    if len(result) < documents:
        raise SystemExit(f"{data} has {len(result)} documents of the wanted lengths, {documents} are wanted")
    return result[:documents]


def _unique(folder: Path, field: str) -> list[str]:
    from polyvec.data.files import zstandard  # the environments of peers read vectors only

    found: dict[str, None] = {}
    for path in sorted(folder.glob("*.jsonl.zst")):
        with zstandard().open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                text = json.loads(line)[field].strip()
                if text:
                    found[text] = None
    return list(found)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def write_parts(encoder: Any, texts: list[tuple[str, str]], cache: Path) -> None:
    started = time.perf_counter()
    made = 0
    for start in range(0, len(texts), PART):
        path = cache / f"part-{start // PART:03d}"
        if path.with_suffix(".json").exists():
            continue
        part = texts[start : start + PART]
        encoded = [(e.vectors.astype(np.float16), e.token_ids) for e in encoder.stream_documents(t for _, t in part)]
        np.save(f"{path}.tokens.npy", np.concatenate([vectors for vectors, _ in encoded]))
        np.save(f"{path}.ids.npy", np.concatenate([ids for _, ids in encoded]))
        np.save(f"{path}.doclens.npy", np.array([len(vectors) for vectors, _ in encoded], np.int64))
        path.with_suffix(".json").write_text(json.dumps([name for name, _ in part]), encoding="utf-8")
        made += sum(len(vectors) for vectors, _ in encoded)
        rate = made / (time.perf_counter() - started)
        print(f"{start + len(part)} documents, {made} tokens now, {rate:.0f} tokens/s", flush=True)


def judged_questions(data: Path, rng: np.random.Generator) -> list[tuple[str, list[str]]]:
    """Texts of the judged questions, in the order of their vectors, and names of the documents that are right."""
    questions: list[tuple[str, list[str]]] = []
    for name, wanted in JUDGED.items():
        rows = list(_lines(data / "eval" / name / "queries.jsonl"))
        relevant: dict[str, list[str]] = {}
        for line in (data / "eval" / name / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            query, document, grade = line.split("\t")
            if int(grade) > 0:
                relevant.setdefault(query, []).append(f"{name}/{document}")
        for i in np.sort(rng.choice(len(rows), wanted, replace=False)):
            questions.append((rows[i]["text"], relevant[rows[i]["_id"]]))
    return questions


def write_queries(encoder: Any, data: Path, cache: Path) -> None:
    rng = np.random.default_rng(SEED)
    questions = judged_questions(data, rng)
    _save(cache, "questions", encoder.encode_query([text for text, _ in questions]), [names for _, names in questions])
    rows = list(_lines(data / "eval" / "ntrex-xx-en" / "queries.jsonl"))
    sentences = []
    for i in rng.permutation(len(rows)):
        vectors = encoder.encode_query(rows[i]["text"])
        if len(vectors) >= SENTENCE_TOKENS:
            sentences.append(vectors[:SENTENCE_TOKENS])
        if len(sentences) == SENTENCES:
            break
    _save(cache, "sentences", sentences, [[] for _ in sentences])


def _save(cache: Path, kind: str, vectors: list[npt.NDArray[np.float32]], relevant: list[list[str]]) -> None:
    np.save(cache / f"{kind}.tokens.npy", np.concatenate(vectors).astype(np.float16))
    np.save(cache / f"{kind}.offsets.npy", np.concatenate([[0], np.cumsum([len(v) for v in vectors])]).astype(np.int64))
    (cache / f"{kind}.json").write_text(json.dumps(relevant), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder with eval, train/qa and train/parallel.")
    parser.add_argument("--cache", type=Path, required=True, help="Where the vectors go; outside the repository.")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=None, help="Threads of the encoder.  [default: all]")
    arguments = parser.parse_args()

    from polyvec import Encoder

    arguments.cache.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(precision="int8", threads=arguments.threads)
    if not (arguments.cache / "sentences.json").exists():
        write_queries(encoder, arguments.data, arguments.cache)
    write_parts(encoder, texts_in_order(arguments.data, arguments.documents), arguments.cache)


if __name__ == "__main__":
    sys.exit(main())
