"""Values that nobody should give, a report of what came out, and small files to give beside them."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
import json
import math
import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from polyvec import Hit, SearchOptions
from polyvec.data import Document
from polyvec.encoder.batches import checked
from tests.conftest import WordEncoder

DIM = 16
ROWS: list[dict[str, Any]] = [
    {"_id": "tea", "text": "green and black tea", "title": 1984, "lang": "en", "year": 2001},
    {"_id": "a\u2028b", "text": "bread rises [red] \x1b[31m \u202e", "title": "[/nope] :smile:", "lang": ["de"]},
    {"_id": "moon", "text": "der Mond", "title": "Mond\x9b31m", "lang": "de", "tags": [{"a": None}]},
]


@dataclass
class Report:
    """What was called how often, and what came out that should not have."""

    calls: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    def add(self, call: str, what: str, given: str) -> None:
        self.findings.setdefault(f"{call}: {what}", given)

    def __str__(self) -> str:
        lines = [f"{found}   given {given}" for found, given in sorted(self.findings.items())]
        return "\n".join([f"{sum(self.calls.values())} calls, {len(lines)} findings", *lines])


def _deep(levels: int = 5000) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


class OwnError(Exception):
    """What a function that a caller hands over raises; it comes out as it is."""


def refuses(*_: Any, **__: Any) -> None:
    raise OwnError


class Anything:
    """A class that can be called with whatever there is."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


class _Text(str):
    __slots__ = ()


def values(rng: random.Random) -> list[Any]:
    """Fresh nasty values: iterators are used up by a call, and lists may be changed."""
    one = np.ones((2, DIM), np.float32)
    return [
        None, True, 0, -1, 1, 10**30, -(10**30), 1.5, -0.5, math.nan, math.inf, 1e-320, 2**31, 2**63,
        "", " ", "\0", "a\0b", "a\u2028b", "\ud800", "x" * 70_000, "[red]", "[/nope]", "\x1b[31m", "\u202e", "late", "nan", "-",
        "nowhere", "ไ", "\u0301", _Text("tea"), b"tea", b"\xff", bytearray(b"x"),
        [], [None], [[]], [""], ["tea", "tea"], ["\ud800"], ["x"] * 1000, [1], [b"x"], [{}], [math.nan], [one], [one,
        None], (), ("tea",),
        set(), {"tea"}, frozenset([1]), {}, {"a": {}}, {"$and": []}, {"": 1}, {1: 2}, {"\ud800": 1}, {"lang": {"$in": [[]]}},
        {"year": {"$gt": math.nan}}, {"a": _deep(400)}, {"id": "z"}, {"id": "z", "text": "z"}, [{"id": "z", "text": "\ud800"}],
        [{"id": "", "text": "z"}], [{"id": "z", "text": "z", "m": math.nan}], [{"id": "z", "text": "z", "m": {1, 2}}],
        [{"id": "z", "text": "z", "m": _deep()}], [{"id": "z", "text": "z", "metadata": {1: 2}}], [{"id": "\ud800",
        "text": "z"}],
        _deep(), iter([]), iter(["tea"]), (x for x in [None]), range(3), object(), Anything, refuses, lambda *_: None,
        NotImplemented, ...,
        np.float32(1), np.int64(3), np.bool_(True), np.str_("tea"), np.float64("nan"), np.datetime64("2020-01-01"),
        one, one[0], np.ones((0, DIM)), np.ones((2, 3)), np.full((2, DIM), np.nan), np.full((2, DIM), 1e38), np.zeros((2, DIM)),
        np.ones((1, 2, DIM)), np.array(1.0), np.array(["a"]), np.array([None]), np.ones((2, DIM), complex),
        np.ones((2, DIM), bool),
        np.ones((2, DIM), np.int64) * 2**62, [one, np.ones((2, 3))], [[1.0] * DIM], [["a"]], [[1], [1, 2]],
        datetime.date(2020, 1, 1), decimal.Decimal("NaN"), complex(1, 2), Path("nowhere"), Path("\ud800"), Path(), slice(1, 2),
        Document("z", "z", {}), [Document(1, "z", {})], [Document("z", None, {})], [Document("z", "z", None)],  # type: ignore[arg-type]
        SearchOptions(k=3), Hit("tea", 1.0, 1, "green and black tea"), Hit("nowhere", 1.0, 1, "t"), rng.random(),
        rng.randint(-9, 9),
    ]  # fmt: skip


def where(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "polyvec" in frame.filename]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"


def short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "deep nesting"
    return text if len(text) < 60 else f"{text[:50]}... ({type(value).__name__})"


class CheckedWords(WordEncoder):
    """Refuses what Encoder refuses."""

    def stream_queries(self, texts: Any, **settings: Any) -> Iterator[Any]:
        return super().stream_queries(checked(texts, "query"), **settings)

    def stream_documents(self, texts: Any, **settings: Any) -> Iterator[Any]:
        return super().stream_documents(checked(texts, "document"), **settings)


def make_files(folder: Path) -> None:
    """Small inputs, right and wrong ones, as the commands read them."""
    folder.mkdir(exist_ok=True)
    docs = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "beir" / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "folder").mkdir(exist_ok=True)
    contents: dict[str, str | bytes] = {
        "docs.jsonl": docs,
        "beir/corpus.jsonl": docs,
        "beir/queries.jsonl": '{"_id": "q1", "text": "tea"}\n',
        "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\ttea\t1\n",
        "q.tsv": "q1\ttea\nq2\tMond [red]\n",
        "q.jsonl": '{"_id": "q1", "text": "a\x7f\\u001b[31m red"}\n',
        "qrels.tsv": "query-id\tcorpus-id\tscore\nq1\ttea\t1\n",
        "pairs.jsonl": '{"query": "tea?", "document": "green and black tea"}\n{"query": "moon?", "document": "der Mond"}\n',
        "candidates.jsonl": '{"query": "tea?", "documents": ["green and black tea", "der Mond"]}\n',
        "run.trec": "q1 Q0 tea 1 2.0 x\n",
        "broken.jsonl": '{"id": "a", "text": "x"\n',
        "deep.jsonl": '{"id": "a", "text": "x", "m": ' + "[" * 5000 + "]" * 5000 + "}\n",
        "binary.parquet": bytes(range(256)),
        "empty.jsonl": "",
        "empty.toml": "",
        "surrogate.jsonl": '{"_id": "1", "text": "a\\ud83d red"}\n',
        "latin1.txt": b"caf\xe9\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def given_stdin(content: bytes) -> Any:
    return mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


class Hangs(BaseException):
    """A call that does not come back; no Exception, so that nobody catches it on the way."""


@contextlib.contextmanager
def in_time(seconds: float = 20.0) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hangs

    handler, (before, _) = signal.signal(signal.SIGALRM, stop), signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before)  # pytest's own limit goes on
        signal.signal(signal.SIGALRM, handler)


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
