"""Judgments held against a collection, and outputs of evaluation, search and lists of results checked before the work."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from polyvec import Index
from polyvec.cli import main
from polyvec.data import read_run
from polyvec.errors import InputError
from polyvec.evaluation.dataset import load_dataset
from polyvec.evaluation.evaluation import evaluate
from polyvec.evaluation.reproduce import read_expected
from tests.conftest import WordEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    rows = [
        {"_id": "d1", "title": "", "text": "red planet"},
        {"_id": "d2", "title": "blue planet", "text": ""},
        {"_id": "d3", "title": "", "text": ""},
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    queries = [{"_id": "q1", "text": "red planet"}, {"_id": "q2", "text": "blue planet"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries), encoding="utf-8")
    judge(folder, [("q1", "d1"), ("q1", "d3"), ("q2", "d2")])
    return folder


def judge(folder: Path, pairs: list[tuple[str, str]]) -> None:
    lines = "".join(f"{query}\t{document}\t1\n" for query, document in pairs)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines, encoding="utf-8")


@pytest.fixture
def index_path(folder: Path, tmp_path: Path) -> Path:
    encoder: Any = WordEncoder()
    with Index.create(tmp_path / "i.polyvec", encoder=encoder) as index:
        index.add(load_dataset(folder).documents())
    return tmp_path / "i.polyvec"


def failed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a command which must fail says."""
    capsys.readouterr()
    assert main([str(word) for word in words]) != 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("polyvec: ")]
    assert len([line for line in said if "WARNING" not in line]) == 1
    return said[-1]


def test_documents_that_cannot_be_found_count_as_not_found(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder: Any = WordEncoder()
    dataset = load_dataset(folder)
    for _ in range(2):
        result = evaluate(dataset, encoder=encoder, measures=["R@100"])
        assert result.per_query == {"q1": {"R@100": 0.5}, "q2": {"R@100": 1.0}}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # once each, whatever the number of passes
    assert "1 of 3 documents have neither text nor title" in said[0]
    assert "1 of 3 judged documents are not in the collection or are empty, 'd3' among them" in said[1]


def test_judgments_of_another_collection_are_refused(folder: Path) -> None:
    judge(folder, [("q1", "other"), ("q2", "another")])
    encoder: Any = WordEncoder()
    with pytest.raises(InputError, match="none of the 2 judged documents is in the collection, 'another' among them"):
        evaluate(load_dataset(folder), encoder=encoder, measures=["R@100"])


@pytest.mark.parametrize("name", ["dev.tsv.gz", "dev.TSV", "dev.tsv"])
def test_splits_by_any_name(folder: Path, name: str) -> None:
    (folder / "qrels" / ".hidden.tsv").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="there: test"):
        load_dataset(folder, split="dev")
    content = b"q 1\td1\t1\nq1\td 1\t1\n"
    (folder / "qrels" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(InputError, match=r"judge 1 queries that queries\.jsonl does not have, 'q 1' among them"):
        load_dataset(folder, split="dev")
    with pytest.raises(InputError, match="expected a path"):
        load_dataset("")


def test_outputs_of_evaluate_are_checked_before_the_work(
    folder: Path, index_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = (folder / "corpus.jsonl").read_bytes()
    words = ["evaluate", folder, "--index", index_path, "--mode", "keyword", "--measures", "R@100"]
    assert "is an input" in failed(capsys, *words, "--run-out", folder / "corpus.jsonl")
    assert "is an input" in failed(capsys, *words, "--run-out", index_path / "catalog.sqlite")
    assert "missing or not writable" in failed(capsys, *words, "--run-out", tmp_path / "no" / "a.run")
    assert "is a folder" in failed(capsys, *words, "--run-out", tmp_path)
    assert "not a folder" in failed(capsys, *words, "--report", folder / "corpus.jsonl")
    (tmp_path / "theirs.run").write_text("other Q0 d1 1 2 t\n", encoding="utf-8")
    assert "none of the 2 judged queries" in failed(capsys, *words, "--compare", tmp_path / "theirs.run")
    assert (folder / "corpus.jsonl").read_bytes() == corpus
    assert main([str(word) for word in [*words, "--run-out", tmp_path / "mine.run"]]) == 0
    assert set(read_run(tmp_path / "mine.run")) == {"q1", "q2"}


def test_runs_of_search_are_checked_before_the_work(
    index_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, out = tmp_path / "q.tsv", tmp_path / "out.run"
    queries.write_text("1\tred planet\n2 x\tblue planet\n", encoding="utf-8")
    out.write_text("before", encoding="utf-8")
    os.link(queries, tmp_path / "same")
    words = ["search", index_path, "--queries", queries, "--mode", "keyword"]
    for tag in ("my tag", "", " ", "a\tb", "a\u00a0b"):
        assert "tag" in failed(capsys, *words, "--run-out", out, "--tag", tag)
    assert "is an input" in failed(capsys, *words, "--run-out", tmp_path / "same")
    assert "'2 x': a TREC run cannot hold ids with white space" in failed(capsys, *words, "--run-out", out)
    assert out.read_text(encoding="utf-8") == "before"
    assert "nested more than" in failed(capsys, "search", index_path, "x", "--mode", "keyword", "--filter", "[" * 5000)
    assert "comes twice" in failed(
        capsys, "search", index_path, "x", "--mode", "keyword", "--filter", '{"a": 1, "a": 2}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[result]]\nname = 3\n", "result 1: command is missing"),
        (
            '[[result]]\nname = 3\ncommand = "c"\ndataset = "d"\nmeasure = "m"\ntolerance = 0.1\n',
            "name = 3: expected str",
        ),
        ('result = "x"\n', "'result' is missing"),
        ("[[result]]\n[results]\n", "unknown key 'results'"),
        ("[about]\nmodel = 1\n[[result]]\n", "missing"),
        ("a = 1\na = 2\n", "is not TOML"),
    ],
)
def test_lists_of_results_are_typed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_expected(path)


def test_numbers_of_a_table_are_found_by_a_filter(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,text,year,new\n1,red planet,1999,true\n2,red planet,2004,false\n", encoding="utf-8")
    from polyvec.data import read_documents

    encoder: Any = WordEncoder()
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add(read_documents(path))
        assert [hit.id for hit in index.search("red planet", filter={"year": {"$gte": 2000}})] == ["2"]
        assert [hit.id for hit in index.search("red planet", filter={"new": True})] == ["1"]
