"""Whatever stands in the place of an argument: the call works, or raises InputError in one line and changes nothing."""

from __future__ import annotations

import datetime
import decimal
import io
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyvec
from polyvec import Index, SearchOptions, maxsim, rerank
from polyvec.arguments import local_path, shown
from polyvec.collection.build import build_index
from polyvec.collection.repair import repair_index
from polyvec.data import Document, Query, as_documents, read_documents, read_queries, write_run
from polyvec.encoder.options import EncoderOptions
from polyvec.errors import InputError, PolyvecError
from polyvec.evaluation.ablation import AblationRow, write_ablation
from polyvec.evaluation.dataset import Dataset
from polyvec.evaluation.evaluation import evaluate, evaluate_index
from polyvec.evaluation.measures import compute_measures
from polyvec.integrations.mteb import PolyvecModel
from polyvec.search.rerank import rerank_run
from tests.conftest import WordEncoder

DOCUMENTS = [
    {"id": "mars", "text": "red planet of iron", "lang": "en"},
    {"id": "7", "text": "seventh planet", "year": 1781},
]
STORED = [("mars", "red planet of iron", {"lang": "en"}), ("7", "seventh planet", {"year": 1781})]


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


loop: list[Any] = []
loop.append(loop)

NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 10**400, 2**31, 2**63, -(2**63) - 1, float("nan"), float("inf"), -0.0, 1e300, 3 + 4j,
    "", " ", "mars", "7", "ignore", "10", "\0", "a\0b", "\ud800", "\u2028", "x" * 200_000, "é" * 5000, "../..", "nan",
    b"mars", bytearray(b"7"), memoryview(b"7"),
    [], [[]], [None], ["mars", None], [7], ["mars", 7], [True], [1.5], ["\ud800"], ["\0"], [""], [b"7"], [[1.0] * 16],
    [{"id": "mars"}], [{"id": "new", "text": "fine"}, None], [{"id": ["x"], "text": "y"}], [{"_id": 1, "id": 2, "text": "z", 3: 4}],
    [{"id": "a", "text": "b", "c": nested(500)}], [{"id": "a", "text": "b", "c": loop}],
    [{"id": "a", "text": "b", "metadata": {"c": {1}}}],
    (), ("mars",), {},
    {"id": "mars", "text": "t"}, {"lang": "en"}, {1: 2}, {"$and": 3}, {"lang": loop}, {"mars"}, frozenset(), range(3),
    np.int64(7), np.float32(0.5), np.float64("nan"), np.bool_(True), np.str_("mars"), np.array([]), np.array(3), np.array(["mars"]),
    np.array([7]), np.ones((2, 16)), np.zeros((2, 16)), np.ones((1, 2, 16)), np.full((2, 16), np.nan), np.full((2, 16), 1e300),
    np.ones((2, 15)), np.ones(16), np.array([[1j] * 16]), np.array([[True] * 16]), np.array([[None] * 16]), np.datetime64("NaT"),
    np.ma.masked_array(np.ones((1, 16)), mask=[[True] + [False] * 15]),
    object(), Unprintable(), int, WordEncoder, WordEncoder(8), len, Document("mars", "again"), Document(3, None, 4),  # type: ignore[arg-type]
    [Document("doc", "text", {"x": float("nan")})], [Document("doc", 3)], Query("1", "q"), [Query("1", 3)],  # type: ignore[arg-type]
    Path(), Path("no/such/folder"),
    Path("a" * 5000), decimal.Decimal(1), uuid.UUID(int=1), datetime.datetime(2020, 1, 1), SearchOptions, {"k": 3},
]  # fmt: skip

QUERY = np.eye(2, 16, dtype=np.float32)


def _changing(index: Index) -> dict[str, Callable[[Any], Any]]:
    ones = [np.ones((1, 16))]
    return {
        "add(documents)": index.add,
        "add(existing)": lambda v: index.add([{"id": "mars", "text": "new"}], existing=v),
        "add(progress)": lambda v: index.add([{"id": "mars", "text": "new"}], progress=v),
        "update(documents)": index.update,
        "add_vectors(ids)": lambda v: index.add_vectors(v, ones),
        "add_vectors(id)": lambda v: index.add_vectors([v], ones),
        "add_vectors(vectors)": lambda v: index.add_vectors(["v"], v),
        "add_vectors(one)": lambda v: index.add_vectors(["v"], [v]),
        "add_vectors(metadata)": lambda v: index.add_vectors(["v"], ones, metadata=v),
        "add_vectors(fields)": lambda v: index.add_vectors(["v"], ones, metadata=[v]),
        "add_vectors(field)": lambda v: index.add_vectors(["v"], ones, metadata=[{"x": v}]),
        "add_vectors(existing)": lambda v: index.add_vectors(["mars"], ones, existing=v),
        "add(id)": lambda v: index.add([{"id": v, "text": "text"}]),
        "add(text)": lambda v: index.add([{"id": "new", "text": v}]),
        "add(field)": lambda v: index.add([{"id": "new", "text": "text", "x": v}]),
        "add(key)": lambda v: index.add([{"id": "new", "text": "text", "x": {v: 1} if _hashable(v) else v}]),
        "add(metadata)": lambda v: index.add([{"id": "new", "text": "text", "metadata": v}]),
        "add(Document)": lambda v: index.add([Document(v, v, v)]),
        "delete(ids)": index.delete,
        "delete(id)": lambda v: index.delete([v]),
        "compact(retrain)": lambda v: index.compact(retrain=v),
    }


def _reading(index: Index, folder: Path, encoder: WordEncoder) -> dict[str, Callable[[Any], Any]]:
    names = (
        "k", "mode", "fusion", "weight", "filter", "subset", "min_score", "exact", "recall", "nprobe", "candidates", "options",
        "threads",
    )  # fmt: skip
    vector_names = [name for name in names if name not in ("mode", "fusion", "weight")]
    calls: dict[str, Callable[[Any], Any]] = {
        "get(ids)": index.get,
        "get(id)": lambda v: index.get([v]),
        "in": lambda v: v in index,
        "search(query)": index.search,
        "search(one)": lambda v: index.search([v]),
        "search(keywords)": lambda v: index.search([v], mode="keyword"),
        "search_vectors(query)": index.search_vectors,
        "search_vectors(one)": lambda v: index.search_vectors([v]),
        "maxsim(query)": lambda v: maxsim(v, [QUERY]),
        "maxsim(documents)": lambda v: maxsim(QUERY, v),
        "maxsim(document)": lambda v: maxsim(QUERY, [v]),
        "maxsim(threads)": lambda v: maxsim(QUERY, [QUERY], threads=v),
        "rerank(query)": lambda v: rerank(v, ["red"], encoder=encoder),
        "rerank(documents)": lambda v: rerank("red", v, encoder=encoder),
        "rerank(document)": lambda v: rerank("red", [v], encoder=encoder),
        "rerank(encoder)": lambda v: rerank("red", ["red"], encoder=v),
        "rerank(k)": lambda v: rerank("red", ["red"], encoder=encoder, k=v),
        "rerank(threads)": lambda v: rerank("red", ["red"], encoder=encoder, threads=v),
        "rerank_run(run)": lambda v: rerank_run(v, [], [], encoder=encoder),
        "rerank_run(queries)": lambda v: rerank_run({}, v, [], encoder=encoder),
        "rerank_run(documents)": lambda v: rerank_run({}, [], v, encoder=encoder),
        "rerank_run(k)": lambda v: rerank_run({}, [], [], encoder=encoder, k=v),
        "open(encoder)": lambda v: Index.open(index.path, encoder=v).close(),
        "open(auto_refresh)": lambda v: Index.open(index.path, auto_refresh=v).close(),
        "repair_index(encoder)": lambda v: repair_index(folder / "nowhere", encoder=v),
        "repair_index(progress)": lambda v: repair_index(folder / "nowhere", progress=v),
        "build_index(documents)": lambda v: build_index(v, index.path, encoder=encoder, nbits=16, source="s"),
        "build_index(nbits)": lambda v: build_index([], index.path, encoder=encoder, nbits=v, source="s"),
        "build_index(progress)": lambda v: build_index(
            [], index.path, encoder=encoder, nbits=16, source="s", progress=v
        ),
        "build_index(encoder)": lambda v: build_index([], index.path, encoder=v, nbits=16, source="s"),
        "as_documents": lambda v: list(as_documents(v)),
        "evaluate(dataset)": lambda v: evaluate(v, encoder=encoder),
        "evaluate(encoder)": lambda v: evaluate(Dataset("d", [], {}, lambda: iter(())), encoder=v),
        "evaluate(nbits)": lambda v: evaluate(Dataset("d", [], {}, lambda: iter(())), encoder=encoder, nbits=v),
        "evaluate_index(dataset)": lambda v: evaluate_index(v, index),
        "evaluate_index(index)": lambda v: evaluate_index(Dataset("d", [], {}, lambda: iter(())), v),
        "compute_measures(measures)": lambda v: compute_measures({}, {}, v),
        "compute_measures(measure)": lambda v: compute_measures({}, {}, [v]),
        "PolyvecModel(encoder)": PolyvecModel,
        "PolyvecModel(nbits)": lambda v: PolyvecModel(encoder, nbits=v),
        "PolyvecModel(threads)": lambda v: PolyvecModel(encoder, threads=v),
    }
    for name in names:
        calls[f"search({name})"] = lambda v, name=name: index.search("red planet", **{name: v})
        calls[f"hybrid({name})"] = lambda v, name=name: index.search("red planet", **{"mode": "hybrid", name: v})
        if name not in ("options", "threads"):
            calls[f"SearchOptions({name})"] = lambda v, name=name: index.search(
                "red", options=SearchOptions(**{name: v})
            )
    for name in vector_names:
        calls[f"search_vectors({name})"] = lambda v, name=name: index.search_vectors(QUERY, **{name: v})
    for name in EncoderOptions.__dataclass_fields__:
        calls[f"EncoderOptions({name})"] = lambda v, name=name: EncoderOptions(**{name: v})
    return calls


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _refusals(call: Callable[[Any], Any]) -> Iterator[tuple[Any, str]]:
    """The nasty values that a call refuses, and how. What is no error of ours comes out."""
    for value in NASTY:
        try:
            call(value)
        except PolyvecError as error:
            yield value, str(error)
        except Exception as error:
            raise AssertionError(f"{shown(value)} gave {type(error).__name__}: {error}") from error


def _held(index: Index) -> list[tuple[str, str, dict[str, Any]]]:
    return [(document.id, document.text, document.metadata) for document in index.documents()]


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Iterator[Index]:
    with Index.create(tmp_path / "i.polyvec", encoder=encoder) as made:
        made.add(DOCUMENTS)
        yield made


def test_reading_calls_refuse_in_one_line_and_change_nothing(
    index: Index, tmp_path: Path, encoder: WordEncoder
) -> None:
    pytest.importorskip("ir_measures")
    for name, call in _reading(index, tmp_path, encoder).items():
        try:
            messages = [message for _, message in _refusals(call)]
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        assert messages, f"{name} takes everything"
        assert all(message.isprintable() and len(message) < 600 for message in messages), name
    assert _held(index) == STORED
    assert index.verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.polyvec"]


def test_changing_calls_store_what_was_given_or_nothing(index: Index) -> None:
    for name, call in _changing(index).items():
        try:
            refused = list(_refusals(lambda value, call=call: _all_or_nothing(index, call, value)))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        assert refused, f"{name} takes everything"
    assert index.verify() == []
    index.search_vectors(QUERY, filter={"x": {"$exists": True}})  # SQLite reads all metadata that was stored
    assert index.info()["documents"] == len(index)


def _all_or_nothing(index: Index, call: Callable[[Any], Any], value: Any) -> None:
    before = _held(index)
    try:
        call(value)
    except PolyvecError:
        assert _held(index) == before
        raise
    hits = index.search_vectors(QUERY, k=100)
    assert sorted(hit.id for hit in hits) == sorted(document.id for document in index.documents())  # type: ignore[union-attr]
    assert all(np.isfinite(hit.score) for hit in hits)  # type: ignore[union-attr]
    if _held(index) != STORED:
        index.delete([document.id for document in index.documents()])
        index.add(DOCUMENTS)


def test_creating_refuses_and_leaves_nothing(tmp_path: Path, encoder: WordEncoder) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        "dim": lambda v: Index.create(tmp_path / "i", dim=v),
        "nbits": lambda v: Index.create(tmp_path / "i", dim=16, nbits=v),
        "encoder": lambda v: Index.create(tmp_path / "i", encoder=v),
        "encoder and dim": lambda v: Index.create(tmp_path / "i", encoder=encoder, dim=v),
    }
    for name, call in calls.items():
        for value in NASTY:
            try:
                call(value).close()
            except PolyvecError:
                assert list(tmp_path.iterdir()) == [], (name, value)
            else:
                for path in sorted(tmp_path.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("path", ["", " ", b"x", None, 3, "a\0b", "\ud800", "x" * 5000, ["x"]])
def test_what_is_no_path(path: Any) -> None:
    for call in (lambda: Index.create(path, dim=4), lambda: Index.open(path), lambda: repair_index(path)):
        with pytest.raises(InputError, match="path="):
            call()


def test_paths_that_are_taken(tmp_path: Path) -> None:
    assert local_path("path", str(tmp_path)) == local_path("path", tmp_path) == tmp_path
    assert local_path("path", ".") == Path()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.get("mars"), "ids: got one str, expected a list of ids. Wrap a single one in a list."),
        (lambda i: i.delete("mars"), "ids: got one str"),
        (lambda i: i.search("red", subset="mars"), "subset: got one str"),
        (lambda i: i.search_vectors(QUERY, subset={"mars": 1}), "subset: got one dict"),
        (lambda i: i.add({"id": "x", "text": "y"}), "documents: got one dict"),
        (lambda i: i.add(Document("x", "y")), "documents: got Document"),
        (lambda i: i.add([{"id": "x", "text": "y"}, None]), "document 1: got None"),
        (lambda i: i.add([], existing="ignore"), "existing='ignore': expected one of error, replace, skip."),
        (lambda i: i.add_vectors({"a", "b"}, [QUERY, QUERY]), "ids: got a set, which has no order"),
        (lambda i: i.add_vectors(["a"], {"a": QUERY}), "vectors: got one dict"),
        (lambda i: i.search("red", k=True), "k=True: expected a whole number of hits, at least 1."),
        (lambda i: i.search("red", k=2**31), "at most 2147483647"),
        (lambda i: i.search("red", threads=0), "threads=0: expected at least 1"),
        (lambda i: i.search("red", mode="Late"), "mode='Late': expected one of late, keyword, hybrid."),
        (lambda i: i.search("red", min_score=float("nan")), "min_score=nan"),
        (lambda i: i.search("red", filter="lang"), "filter='lang': expected an object"),
        (lambda i: i.search("red", options={"k": 3}), r"options=\{'k': 3\}: expected SearchOptions\(...\)"),
        (lambda i: i.search(b"red"), "queries: got one bytes"),
        (lambda i: i.search(["red", 3]), "query 1 is int, not text"),
        (lambda i: i.search("x" * 100_001), "query 0 has 100,001 characters, and at most 100,000"),
        (lambda i: i.add([], progress=3), "progress=3: expected a function"),
        (lambda i: compute_measures({}, {}, "nDCG@10"), "measures: got one str"),
        (lambda i: rerank("red", "red planet", encoder=i.encoder), "documents: got one str"),
        (lambda i: rerank("red", ["red"], encoder="polyvec-mini"), r"encoder='polyvec-mini': expected an Encoder"),
        (lambda i: EncoderOptions(dim="64"), "dim='64': expected a whole number of dimensions"),
        (lambda i: EncoderOptions(heads="64"), "heads: got one str"),
        (lambda i: EncoderOptions(truncate=1), "truncate=1: expected True or False."),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_given_and_what_is_expected(index: Index, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(index)
    assert _held(index) == STORED


def test_every_way_to_search_is_a_keyword_and_an_option(index: Index) -> None:
    ways: list[dict[str, Any]] = [
        {"k": 1}, {"k": np.int64(1)}, {"mode": "keyword"}, {"mode": "hybrid", "fusion": "rank", "weight": 0.5},
        {"filter": {"lang": "en"}},
        {"subset": ["7"]}, {"subset": (7,)}, {"subset": np.array([7])}, {"min_score": np.float32(0.9)},
        {"exact": True}, {"recall": 0.9},
        {"nprobe": 2, "candidates": 3}, {"subset": [7], "filter": {"lang": "en"}},
    ]  # fmt: skip
    for way in ways:
        options = SearchOptions(**way)
        assert index.search("red planet", **way) == index.search("red planet", options=options)
        assert hash(options) == hash(SearchOptions(**way))
        if not {"mode", "fusion", "weight"} & way.keys():
            assert index.search_vectors(QUERY, **way) == index.search_vectors(QUERY, options=options)
    assert [hit.id for hit in index.search("planet", subset=(i for i in [7]))] == ["7"]
    assert index.search("planet", subset=[], options=SearchOptions(subset=["7"])) == []


def test_values_of_numpy_are_as_good_as_pythons() -> None:
    options = SearchOptions(k=np.int32(3), min_score=np.float32(0.5), exact=np.bool_(True), mode=np.str_("late"))
    assert options == SearchOptions(k=3, min_score=0.5, exact=True)
    assert [type(v) for v in (options.k, options.min_score, options.exact, options.mode)] == [int, float, bool, str]
    assert EncoderOptions(dim=np.int64(64), heads=np.array([64, 32])) == EncoderOptions(dim=64, heads=(64, 32))


def test_a_value_is_shown_on_one_short_line() -> None:
    for value in NASTY:
        assert shown(value).isprintable()
        assert len(shown(value)) < 400


def test_the_largest_k_finds_everything(index: Index) -> None:
    for mode in ("late", "keyword", "hybrid"):
        assert len(index.search("planet", k=2**31 - 1, mode=mode)) == 2
    assert polyvec.SearchOptions(k=2**31 - 1).generated < 2**63


@pytest.mark.parametrize("documents", [
    [{"id": "a", "text": "tea"}, {"id": "a", "text": "moon"}],
    [Document("1", "tea", {}), "moon"],
    [{"id": 1, "text": "tea"}, {"_id": "1", "text": "tea"}],
])  # fmt: skip
def test_rerank_refuses_an_id_that_comes_twice(documents: list[Any], encoder: WordEncoder) -> None:
    with pytest.raises(InputError, match="comes twice"):
        rerank("tea", documents, encoder=encoder)  # type: ignore[arg-type]
    assert len(rerank("tea", ["tea", "tea"], encoder=encoder)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [float("nan"), 0, -1, 1.5, True, "2"])
def test_threads_are_checked_before_several_queries_are_searched(
    threads: Any, tmp_path: Path, encoder: WordEncoder
) -> None:
    with Index.create(tmp_path / "threads.polyvec", encoder=encoder) as index:  # type: ignore[arg-type]
        index.add(DOCUMENTS)
        with pytest.raises(InputError, match="threads="):
            index.search(["red", "seventh", "iron"], threads=threads)
        with pytest.raises(InputError, match="threads="):
            index.search_vectors(np.eye(3, encoder.dim)[:, None], threads=threads)


@pytest.mark.parametrize("call", [read_queries, read_documents], ids=["queries", "documents"])
def test_stdin_that_is_a_folder_or_text_alone(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("tea"))
    with pytest.raises(InputError, match="gives text, not bytes"):
        list(call("-"))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with os.fdopen(os.dup(0), "rb") as stream:
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream, encoding="utf-8"))
        with pytest.raises(InputError, match="stdin is a folder"):
            list(call("-"))


@pytest.mark.parametrize("results", [
    8, None, "q", [1], [("q",)], [("q", "d")], [("q", [("d",)])], {"q": 1}, {"q": {"d": "high"}}, {"q": {"d": float("nan")}},
    {1: {"d": 1.0}}, {"q": {1: 1.0}}, {"q": {"a b": 1.0}}, {("q",): {}}, [("q", {"d": None})], {"q": {"d": True}},
])  # fmt: skip
def test_a_run_of_another_form_is_refused(results: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_run(tmp_path / "out.trec", results, tag="t")
    assert list(tmp_path.iterdir()) == []


def test_a_chart_shows_any_name(tmp_path: Path) -> None:
    row = AblationRow(
        dim=16, nbits=4, pool_factor=1.0, probing="exact", value=0.5, tokens=9, documents=3, bytes_per_token=8.0,
        bytes_per_document=24.0, search_ms=1.0,
    )  # fmt: skip
    write_ablation(tmp_path / "charts", "$\\frac{$ 水 \x1b[31m \\$", [row], "nDCG@10")
    assert (tmp_path / "charts" / "quality-time.png").stat().st_size > 1000
    with pytest.raises(InputError, match="rows"):
        write_ablation(tmp_path / "none", "name", [], "nDCG@10")
