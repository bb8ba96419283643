"""Rows of training files: what is right comes through, what is wrong is named with its file and row."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import InputError
from polyvec.training.mining import MiningOptions, mine, questions
from polyvec.training.mixing import Source
from polyvec.training.recipe import Data, as_recipe, read_recipe
from polyvec.training.rows import (
    candidates_row,
    pair_row,
    parallel_row,
    placed,
    read_rows,
    scored_row,
    text_row,
)
from polyvec.training.teaching import teach
from tests.conftest import WordEncoder
from tests.training.conftest import write_rows

SCORED: dict[str, Any] = {"query": "q", "documents": ["a", "b"], "scores": [1, 0.5], "lang": "de"}
READERS: dict[str, Callable[..., Any]] = {
    "text": text_row, "parallel": parallel_row, "pairs": pair_row, "candidates": candidates_row, "scored": scored_row,
}  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=5,
)
FIELDS = st.sampled_from(["query", "document", "documents", "scores", "answer", "lang", "en", "text", "documents_en"])


@pytest.mark.parametrize("kind", READERS)
@given(st.dictionaries(FIELDS, JSON))
def test_any_row_is_whole_or_refused_in_one_line(kind: str, row: dict[str, Any]) -> None:
    refused, found = "", None
    try:
        found = READERS[kind](row, "a.jsonl, row 3")
    except InputError as error:
        refused = str(error)
    if found is None:
        assert refused.startswith("a.jsonl, row 3: ")
        assert "\n" not in refused
        return
    for name in ("query", "document", "en", "text"):
        assert getattr(found, name, "x").strip()
    assert all(text.strip() for text in getattr(found, "documents", ()))
    if kind == "scored":
        assert len(found.scores) == len(found.documents)
        assert all(math.isfinite(score) for score in found.scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"documents": "Venus"}, "documents is the string 'Venus'. Expected a list of strings"),
        ({"documents": ["a", None]}, "number 2 of documents is null"),
        ({"documents": ["a", " "]}, "number 2 of documents is an empty string"),
        ({"documents": [{"text": "a"}, "b"]}, "number 1 of documents is an object"),
        ({"documents": []}, "documents is missing or empty"),
        ({"scores": [1.0]}, "scores: 1 for 2 documents"),
        ({"scores": None}, "scores: no list for 2 documents"),
        ({"scores": [1.0, None]}, "score 2 is None"),
        ({"scores": [True, 1.0]}, "score 1 is True"),
        ({"scores": [1.0, math.nan]}, "score 2 is nan"),
        ({"query": 5}, "query is int 5"),
        ({"query": None}, "query is missing"),
        ({"lang": 5}, "lang is int 5"),
        ({"lang": "not a language"}, "not a language code"),
    ],
)
def test_scored_rows_are_checked_before_the_first_step(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [SCORED, {**SCORED, **change}]
    if not isinstance(change.get("scores"), list) or "nan" not in str(change):
        path = write_rows(tmp_path / "a.jsonl", rows)
    else:  # JSON cannot say NaN
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(InputError, match=rf"a\.\w+, row 2: .*{message}"):
        Source(Data(path=str(path), kind="scored"), tmp_path / "cache")


def test_a_group_field_that_no_row_has_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"query": "q", "document": "d", "page": 0}] * 2)
    with pytest.raises(InputError, match="no row has the field 'pagee'"):
        Source(Data(path=str(path), kind="pairs", group_field="pagee"), tmp_path / "cache")
    assert Source(Data(path=str(path), kind="pairs", group_field="page"), tmp_path / "cache")._rows[0]["group"] == "0"
    with pytest.raises(InputError, match="row 1: page is a list"):
        pair_row({"query": "q", "document": "d", "page": []}, "row 1", group_field="page")


def test_kinds_of_files(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.ndjson.GZ").write_bytes(gzip.compress(json.dumps(SCORED).encode()))
    parquet.write_table(pyarrow.Table.from_pylist([SCORED]), tmp_path / "a.parquet")
    for name in ("a.ndjson.GZ", "a.parquet"):
        assert list(read_rows(tmp_path / name)) == [SCORED]
    for name in ("a.txt", "a.json", "a"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
        with pytest.raises(InputError, match="unknown kind of file"):
            list(read_rows(tmp_path / name))
    (tmp_path / "b.parquet").write_bytes(b"not parquet")
    for use in (questions, lambda path: teach(path, tmp_path / "out", lambda pairs: [0.0])):
        with pytest.raises(InputError, match=r"b\.parquet: not a readable parquet"):
            use(tmp_path / "b.parquet")


@pytest.mark.parametrize("answer", ["Red Wine", ["nothing", " red WINE "], ["red wine"]])
def test_any_answer_of_a_list_guards(tmp_path: Path, answer: Any) -> None:
    rows: list[dict[str, object]] = [
        {"query": "where grows the red apple", "document": "the red apple grows here", "answer": answer},
        {"query": "about wine", "document": "where grows the red wine"},
    ]
    encoder: Any = WordEncoder(dim=64)
    report = mine(write_rows(tmp_path / "a.jsonl", rows), tmp_path / "out.jsonl", encoder=encoder, margin=9.0)
    assert report.holding_answer == 1
    with pytest.raises(InputError, match="answer is a list"):
        pair_row({"query": "q", "document": "d", "answer": [1]}, "row 1")


@pytest.mark.parametrize("name", ["negatives", "first_rank", "last_rank", "margin"])
@pytest.mark.parametrize("value", [-1, 0, math.nan, math.inf, "3", None, True])
def test_mining_options_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        MiningOptions(**{name: value})


def test_wrong_rows_are_found_before_the_teacher_is_asked(tmp_path: Path) -> None:
    source = write_rows(
        tmp_path / "a.jsonl", [{"query": "q", "documents": ["a"]}, {"query": "q", "documents": "Venus"}]
    )
    asked: list[Any] = []
    with pytest.raises(InputError, match="row 2: documents is the string"):
        teach(source, tmp_path / "out.jsonl", lambda pairs: asked.append(pairs) or [0.0] * len(pairs))  # type: ignore[func-returns-value]
    assert not asked
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    good = write_rows(tmp_path / "b.jsonl", [{"query": "q", "documents": ["a", "b"]}])
    with pytest.raises(InputError, match="1 scores for 2 pairs"):
        teach(good, tmp_path / "out.jsonl", lambda pairs: [0.0])
    with pytest.raises(InputError, match="rows_at_once"):
        teach(good, tmp_path / "out.jsonl", lambda pairs: [0.0], rows_at_once=0)


def test_rows_have_places() -> None:
    assert [place for _, place in placed([{}, {}], "a")] == ["a, row 1", "a, row 2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": {"rate": math.nan}}, "expected a finite number"),
        ({"optimizer": {"rate": math.inf}}, "expected a finite number"),
        ({"optimizer": {"rate": True}}, "expected float"),
        ({"optimizer": {"warmup": 1.5}}, "a share from 0 to 1"),
        ({"objective": {"masked": 2.0}}, "a share from 0 to 1"),
        ({"output": " "}, "output is empty"),
        ({"seed": -1}, "not negative"),
        ({"optimizer": {"deterministic": 1}}, "expected bool"),
    ],
)
def test_recipes_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    good = {"stage": "pairs", "output": "o", "data": [{"path": "a.jsonl", "kind": "pairs"}]}
    with pytest.raises(InputError, match=message):
        as_recipe({**good, **change})


def test_a_recipe_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('stage = "pairs"\noutput = "o"\n[[data]]\npath = "a"\nkind = "pairs"\n', encoding="utf-8-sig")
    assert read_recipe(path).output == "o"
    for content, message in ((b"a = 1\na = 2\n", "is not TOML"), (b"\xff", "broken UTF-8"), (b"\xff\xfe", "UTF-16")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_recipe(path)
