"""The comparison with TACHIOM and kANNolo: what is asked, what is counted, and which setting is called no worse."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the tests of an installed package come without benchmarks/", allow_module_level=True)
DIM, QUERIES = 8, 35


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a script of benchmarks/ by name, as they import each other; none stays imported."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), str(BENCHMARKS / "peers"), *sys.path])
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class FakeWorker:
    """Answers query i with the numbers from i on, in as many seconds as its options say."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int, dict[str, Any]]] = []

    def ask(self, do: str, kind: str, first: int, count: int, k: int, options: dict[str, Any]) -> dict[str, Any]:
        assert do == "search"
        self.asked.append((kind, first, k, options))
        seconds = [float(options.get("seconds", 1))] * count
        return {
            "seconds": seconds,
            "cpu_seconds": seconds,
            "hits": [[*range(i, i + k)] for i in range(first, first + count)],
        }


@pytest.fixture
def anchors(load: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load("anchors")
    points = {"polyvec": {"default": {"seconds": 1}, "exact": {}}, "kannolo": {"best 20": {"seconds": 3}}}
    monkeypatch.setattr(module, "POINTS", points)
    return module


def _asked(anchors: Any) -> list[tuple[str, str]]:
    return [(engine, point) for engine, points in anchors.POINTS.items() for point in points]


def test_every_setting_is_asked_every_query_once_and_slow_ones_a_fifth(anchors: Any) -> None:
    workers = {"polyvec": FakeWorker(), "kannolo": FakeWorker()}
    found = anchors.ask_in_turn(workers, _asked(anchors), "questions", QUERIES)
    for point in (("polyvec", "default"), ("kannolo", "best 20")):
        assert found[point].queries == [*range(QUERIES)]
        assert [hits[0] for hits in found[point].hits] == [*range(QUERIES)]
        assert [len(block) for block in found[point].cpu] == [10, 10, 10, 5]
    assert found["polyvec", "exact"].blocks == [0]
    firsts = [first for _, first, _, _ in workers["kannolo"].asked]
    assert firsts == [0, 0, 10, 20, 30], "the first block is asked once more, to warm up"


def test_the_top_hundred_is_asked_of_each_fifth_block(anchors: Any) -> None:
    workers = {"polyvec": FakeWorker(), "kannolo": FakeWorker()}
    found = anchors.ask_hundred(workers, _asked(anchors), "sentences", 75)
    assert found["kannolo", "best 20"].queries == [*range(10), *range(50, 60)]
    assert {k for _, _, k, _ in workers["kannolo"].asked} == {100}
    assert found["polyvec", "exact"].hits == []


def test_quality_is_counted_of_the_queries_that_were_asked(anchors: Any) -> None:
    answer = anchors.Answers()
    answer.add(2, {"seconds": [1.0] * 2, "cpu_seconds": [1.0] * 2, "hits": [[*range(10)], [*range(5, 15)]]})
    rows = np.full((30, 100), -1)
    rows[20:22] = np.arange(100)  # of query 20 all ten are found, of query 21 five
    truth = {kind: SimpleNamespace(rows=rows) for kind in anchors.KINDS}
    nothing = anchors.Answers()
    found = anchors.quality(
        {"questions": answer, "sentences": answer}, {"questions": nothing, "sentences": nothing}, truth
    )
    assert found["overlap10_questions"] == found["overlap10_sentences"] == 0.75
    assert found["overlap100_questions"] is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"overlap10_questions": 0.79}, False),
        ({"overlap10_sentences": 0.69}, False),
        ({"ndcg10": 0.5995}, True),
        ({"ndcg10": 0.5985}, False),
        ({"ndcg10": None}, True),
    ],
)
def test_no_worse_takes_both_overlaps_and_the_ndcg(anchors: Any, changed: dict[str, Any], expected: bool) -> None:
    other = {"overlap10_questions": 0.8, "overlap10_sentences": 0.7, "ndcg10": 0.6}
    assert anchors.no_worse({**other, **changed}, other) is expected


def test_the_fastest_setting_that_is_no_worse_is_compared_by_blocks(anchors: Any) -> None:
    def point(milliseconds: float, share: float) -> dict[str, Any]:
        overlaps = {f"overlap10_{kind}": share for kind in anchors.KINDS}
        return {"cpu_p50_ms_sentences": milliseconds, "ndcg10": share, **overlaps}

    def answers(*seconds: float) -> Any:
        kept = anchors.Answers()
        for block, each in enumerate(seconds):
            kept.add(block, {"seconds": [each], "cpu_seconds": [each], "hits": [[0]]})
        return kept

    points = {
        ("polyvec", "fast"): point(1, 0.5), ("polyvec", "middle"): point(2, 0.8), ("polyvec", "slow"): point(9, 0.9),
        ("kannolo", "good"): point(8, 0.75), ("kannolo", "best"): point(50, 0.99),
    }  # fmt: skip
    times = {
        ("polyvec", "fast"): answers(1, 1, 1), ("polyvec", "middle"): answers(2, 4, 2), ("polyvec", "slow"): answers(9, 9, 9),
        ("kannolo", "good"): answers(8, 8, 8), ("kannolo", "best"): answers(50, 50, 50),
    }  # fmt: skip
    good, best = anchors.at_equal_quality(points, times)
    assert (good["point"], good["polyvec"], good["polyvec_is_faster_by"]) == ("good", "middle", 4)
    assert (best["point"], best["polyvec"], best["polyvec_is_faster_by"]) == ("best", None, None)


def test_a_run_takes_the_place_of_all_lines_of_its_size(
    anchors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchors, "RESULTS", tmp_path / "anchors.jsonl")
    bench = SimpleNamespace(said=lambda: {"machine": "M"})
    anchors.keep(bench, [{"part": "exact", "documents": 200, "ndcg10": 0.5}, {"part": "point", "documents": 200}])
    anchors.keep(bench, [{"part": "exact", "documents": 100, "ndcg10": 0.6}])
    anchors.keep(bench, [{"part": "exact", "documents": 200, "ndcg10": 0.7}])
    found = [(line["documents"], line["ndcg10"], line["machine"]) for line in anchors.read_results()]
    assert found == [(100, 0.6, "M"), (200, 0.7, "M")]


# -- the workers, with stand-ins for what they call ----------------------------------------------------------------------


class FakeTachiom:
    """Stands in for tachiom.Tachiom: says on stderr what clustering it took, and finds one document."""

    n_centroids = 7

    @classmethod
    def build_from_arrays(cls, vectors: Any, token_ids: Any, doclens: Any) -> FakeTachiom:
        assert (vectors.dtype, token_ids.dtype, doclens.dtype) == (np.uint16, np.uint32, np.int32)
        if len(token_ids) < 5:
            os.write(2, b"[TAC] Warning: total_centroids (1) < 9; falling back to global k-means.\n")
        return cls()

    @classmethod
    def load(cls, path: str) -> FakeTachiom:
        assert Path(path).read_text() == "saved"
        return cls()

    def save(self, path: str) -> None:
        Path(path).write_text("saved")

    def search(self, query: Any, k: int, **_: Any) -> tuple[Any, Any]:
        return np.zeros(k, np.float32), np.array([3] + [2**32 - 1] * (k - 1), np.uint32)


@pytest.mark.parametrize(("tokens", "expected"), [(4, "plain k-means"), (6, "token-aware")])
def test_the_tachiom_worker_keeps_which_clustering_ran(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tokens: int, expected: str
) -> None:
    stand_in = ModuleType("tachiom")
    stand_in.Tachiom = FakeTachiom  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tachiom", stand_in)
    worker = load("tachiom_ivf")
    rows = np.zeros((tokens, DIM), np.float16)
    collection = SimpleNamespace(
        tokens=rows, token_ids=np.zeros(tokens, np.int32), offsets=np.array([0, 2, tokens]), names=["a", "b"]
    )
    worker.build(tmp_path / "index", collection, 4, 1)
    opened = worker.Opened(tmp_path / "index", 2, 1)
    assert opened.about == {"clustering": expected, "centroids": 7}
    assert opened.search(np.zeros((2, DIM), np.float32), 5) == [3], "what fills up the answer is no document"


class FakeGraph:
    """Stands in for kannolo.DensePlainHNSW: finds by scoring everything, and fills up with a number that is no document."""

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    @classmethod
    def build_from_array(cls, flat: Any, dim: int, metric: str) -> FakeGraph:
        assert metric == "dotproduct"
        return cls(flat.reshape(-1, dim))

    @classmethod
    def load(cls, path: str, metric: str) -> FakeGraph:
        return cls(np.load(path + ".npy"))

    def save(self, path: str) -> None:
        np.save(path, self.vectors)

    def search(self, query: Any, k: int, ef_search: int) -> tuple[Any, Any]:
        assert ef_search >= k
        best = np.argsort(-(self.vectors @ query), kind="stable")[:k]
        return np.zeros(k), np.concatenate([best, np.full(k - len(best), len(self.vectors) + 1)]).astype(np.int64)


def test_the_kannolo_worker_scores_in_full_what_the_graph_finds(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in = ModuleType("kannolo")
    stand_in.DensePlainHNSW = FakeGraph  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kannolo", stand_in)
    worker = load("kannolo_rerank")
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((40, DIM)).astype(np.float16)
    offsets = np.array([0, 1, 5, 9, 20, 33, 40])
    worker.build(tmp_path / "index", SimpleNamespace(tokens=rows, offsets=offsets), 4, 1)
    opened = worker.Opened(tmp_path / "index", 6, 1)
    query = rng.standard_normal((3, DIM)).astype(np.float32)
    scores = [(query @ rows[a:b].astype(np.float32).T).max(axis=1).sum() for a, b in itertools.pairwise(offsets)]
    assert opened.search(query, 3, best=50, ef_search=1) == [*np.argsort(-np.array(scores))[:3]]
    vectors = worker.document_vectors(rows, offsets)
    first = int(np.argmax(vectors @ query.mean(axis=0)))
    assert opened.search(query, 1, best=1) == [first]
    mean = rows[1:5].astype(np.float32).mean(axis=0)
    assert np.allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_each_setting_of_a_rival_stands_beside_one_of_ours_that_is_no_worse(load: Any, tmp_path: Path) -> None:
    report = load("anchors_report")
    page = tmp_path / "page.md"
    marks = "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n" for name in report.TABLES)
    page.write_text(f"# Page\n{marks}", encoding="utf-8")
    numbers = {
        "overlap10_questions": 0.9, "overlap10_sentences": 0.8, "overlap100_questions": None, "overlap100_sentences": 0.6,
        "ndcg10": 0.65, "cpu_p50_ms_sentences": 2.0, "cpu_p95_ms_sentences": 3.0, "cpu_p50_ms_questions": 4.0,
        "at": "2026-01-01", "machine": "M", "commit": "abc", "command": "python benchmarks/engine.py",
    }  # fmt: skip
    point = {"part": "point", "documents": 1000, **numbers}
    equal = {**numbers, "part": "equal", "documents": 1000, "engine": "tachiom"}
    lines = [
        {**point, "engine": "polyvec", "point": "4 x 64", "cpu_p50_ms_questions": 1.0},
        {**point, "engine": "polyvec", "point": "1 x 64", "cpu_p50_ms_questions": 0.5, "ndcg10": 0.6},
        {**point, "engine": "polyvec", "point": "default"},
        {**point, "engine": "tachiom", "point": "default"},
        {**point, "engine": "tachiom", "point": "narrow"},
        {**point, "engine": "tachiom", "point": "wide", "ndcg10": 0.66},
        {**equal, "point": "default", "polyvec": "4 x 64", "polyvec_is_faster_by": 5.25},
        {**equal, "point": "narrow", "polyvec": "4 x 64", "polyvec_is_faster_by": 5},
        {**equal, "point": "wide", "polyvec": None, "polyvec_is_faster_by": None},
    ]
    report.write(json.loads(json.dumps(lines)), tmp_path, page)
    shown = page.read_text(encoding="utf-8")
    assert "old" not in shown
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in shown.splitlines() if row.startswith("| 1,000")]
    assert [(row[1], row[2]) for row in rows] == [
        ("polyvec", "default"), ("TACHIOM", "default"), ("TACHIOM", "wide")
    ]  # fmt: skip
    assert [row[4] for row in rows] == ["0.800 / 0.600"] * 3
    assert [row[6] for row in rows] == ["0.900"] * 3
    assert [row[-2] for row in rows] == ["", "4 x 64: 2.00 ms, 5.25x", "none"]
    assert [row[-1] for row in rows] == ["", "4 x 64: 1.00 ms, 4.0x", "none"]
    everything = (tmp_path / "anchors.md").read_text(encoding="utf-8")
    assert sum(row.startswith("| 1,000") for row in everything.splitlines()) == 6
