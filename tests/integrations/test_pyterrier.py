"""Retrieving, reranking and indexing as PyTerrier's transformers, without a Java machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyterrier", reason="python-terrier is not installed")

import pandas as pd
import pyterrier as pt

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.pyterrier import PolyvecIndexer, PolyvecReranker
from tests.conftest import WordEncoder

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

ROWS = [
    {"docno": "m", "text": "red planet mars", "lang": "en"},
    {"docno": "n", "text": "blue planet neptune", "lang": "de"},
    {"docno": "j", "text": "giant planet jupiter", "lang": "en"},
]


@pytest.fixture
def indexer(tmp_path: Path) -> Iterator[PolyvecIndexer]:
    with polyvec.Index.create(tmp_path / "planets.polyvec", encoder=WordEncoder()) as index:
        made = PolyvecIndexer(index)
        assert made.index(iter(ROWS)) is index
        yield made


def test_a_query_finds_documents(indexer: PolyvecIndexer) -> None:
    found = indexer.retriever(num_results=2).search("red mars")
    assert found["docno"].tolist()[0] == "m"
    assert found["rank"].tolist() == [0, 1]
    assert found["text"].tolist()[0] == "red planet mars"
    german = indexer.retriever(search_options={"filter": {"lang": "de"}})
    assert german.search("planet")["docno"].tolist() == ["n"]


def test_many_queries_keep_their_columns_and_their_order(indexer: PolyvecIndexer) -> None:
    queries = pd.DataFrame([["q2", "neptune", 7], ["q1", "mars", 8]], columns=["qid", "query", "extra"])
    found = indexer.retriever(num_results=1)(queries)
    assert found[["qid", "extra", "docno", "rank"]].values.tolist() == [["q2", 7, "n", 0], ["q1", 8, "m", 0]]
    empty = indexer.retriever()(queries.head(0))
    assert len(empty) == 0
    assert {"qid", "query", "docno", "score", "rank", "text"} <= set(empty.columns)


def test_pyterrier_knows_what_goes_in_and_out(indexer: PolyvecIndexer) -> None:
    retriever, reranker = indexer.retriever(), PolyvecReranker(WordEncoder())
    assert pt.inspect.transformer_inputs(retriever) == [["qid", "query"]]
    assert pt.inspect.transformer_outputs(retriever, ["qid", "query"]) == [
        "qid",
        "query",
        "docno",
        "score",
        "rank",
        "text",
    ]
    (needed,) = pt.inspect.transformer_inputs(reranker)
    assert set(needed) == {"qid", "docno", "query", "text"}
    assert {"score", "rank"} <= set(pt.inspect.transformer_outputs(reranker, needed))
    assert pt.inspect.indexer_inputs(indexer) == [["docno", "text"]]


def test_a_pipeline_reranks_and_cuts(indexer: PolyvecIndexer) -> None:
    keywords = indexer.retriever(search_options={"mode": "keyword"})
    pipeline = keywords >> PolyvecReranker(WordEncoder()) % 2
    found = pipeline.search("blue planet")
    expected = polyvec.rerank("blue planet", [row["text"] for row in ROWS], encoder=WordEncoder(), k=2)
    assert found["score"].tolist() == pytest.approx([hit.score for hit in expected])
    assert found["docno"].tolist() == [ROWS[int(hit.id)]["docno"] for hit in expected]


def test_an_experiment_runs(indexer: PolyvecIndexer) -> None:
    topics = pd.DataFrame([["q1", "mars"], ["q2", "neptune"]], columns=["qid", "query"])
    qrels = pd.DataFrame([["q1", "m", 1], ["q2", "n", 1]], columns=["qid", "docno", "label"])
    table = pt.Experiment([indexer.retriever()], topics, qrels, [pt.measures.RR @ 10])
    assert table["RR@10"].tolist() == [1.0]
    assert not pt.java.started()


def test_documents_are_replaced_and_bad_rows_refused(indexer: PolyvecIndexer) -> None:
    index = indexer.index([{"docno": "m", "text": "dusty mars"}])
    assert len(index) == 3
    assert index.get(["m"])[0].text == "dusty mars"
    with pytest.raises(InputError, match="'docno' is missing"):
        indexer.index([{"text": "x"}])
    with pytest.raises(InputError, match="unknown keyword 'fields'"):
        indexer.index([], fields=["text"])
    with pytest.raises(InputError, match="num_results"):
        indexer.retriever(num_results=0)
