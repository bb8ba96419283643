"""The retriever and the ranker as components: alone, in pipelines, and in pipelines that went through YAML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed")

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DuplicatePolicy

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.haystack import PolyvecDocumentStore, PolyvecRanker, PolyvecRetriever
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy

PLANETS = [
    Document(id="m", content="red planet mars", meta={"lang": "en", "year": 2001}),
    Document(id="n", content="blue planet neptune", meta={"lang": "de", "year": 2019}),
    Document(id="j", content="giant planet jupiter", meta={"lang": "en"}),
]
ENGLISH = {"field": "meta.lang", "operator": "==", "value": "en"}
TRUSTED = ["polyvec"]  # Haystack makes components of trusted modules only
OLD = {"field": "meta.year", "operator": "<", "value": 2010}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PolyvecDocumentStore]:
    made = PolyvecDocumentStore(tmp_path / "planets.polyvec", model=WordEncoder())
    made.write_documents(PLANETS)
    yield made
    made.close()


def test_a_retriever_finds_filters_and_scales(store: PolyvecDocumentStore) -> None:
    retriever = PolyvecRetriever(store, top_k=2)
    found = retriever.run("red mars")["documents"]
    assert found[0].id == "m"
    assert len(found) == 2
    assert found[0].score > found[1].score
    (best,) = retriever.run("red planet mars", top_k=1, scale_score=True)["documents"]
    assert best.score == pytest.approx(1.0, abs=1e-2)
    assert {d.id for d in retriever.run("planet", filters=ENGLISH)["documents"]} == {"m", "j"}
    keywords = PolyvecRetriever(store, search_options={"mode": "keyword"})
    assert [d.id for d in keywords.run("neptune")["documents"]] == ["n"]


def test_filters_replace_each_other_or_are_joined(store: PolyvecDocumentStore) -> None:
    german = {"field": "meta.lang", "operator": "==", "value": "de"}
    replaced = PolyvecRetriever(store, filters=german)
    assert [d.id for d in replaced.run("planet")["documents"]] == ["n"]
    assert {d.id for d in replaced.run("planet", filters=ENGLISH)["documents"]} == {"m", "j"}
    joined = PolyvecRetriever(store, filters=ENGLISH, filter_policy="merge")
    assert [d.id for d in joined.run("planet", filters=OLD)["documents"]] == ["m"]


def test_a_ranker_orders_copies() -> None:
    ranker = PolyvecRanker(WordEncoder(), top_k=2)
    given = [*PLANETS, Document(id="empty", content=None)]
    found = ranker.run("red mars", given)["documents"]
    expected = polyvec.rerank("red mars", [d.content for d in PLANETS], encoder=WordEncoder(), k=2)
    assert [(d.id, d.score) for d in found] == [(PLANETS[int(h.id)].id, h.normalized_score) for h in expected]
    assert PLANETS[0].score is None
    assert len(ranker.run("red mars", given, top_k=1)["documents"]) == 1
    plain = PolyvecRanker(WordEncoder(), top_k=None, scale_score=False, score_threshold=1.5)
    assert [d.score for d in plain.run("red mars", given)["documents"]] == [pytest.approx(2.0, abs=1e-4)]
    assert ranker.run("red mars", [])["documents"] == []


async def test_async_runs_give_the_same(store: PolyvecDocumentStore) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", PolyvecRetriever(store, top_k=3))
    pipeline.add_component("ranker", PolyvecRanker(WordEncoder(), top_k=1))
    pipeline.connect("retriever", "ranker")
    result = await pipeline.run_async({"retriever": {"query": "blue"}, "ranker": {"query": "blue"}})
    assert [d.id for d in result["ranker"]["documents"]] == ["n"]


def test_pipelines_go_to_yaml_and_back(tmp_path: Path) -> None:
    path = tmp_path / "planets.polyvec"
    indexing = Pipeline()
    indexing.add_component("writer", DocumentWriter(PolyvecDocumentStore(path), policy=DuplicatePolicy.OVERWRITE))
    asking = Pipeline()
    store = PolyvecDocumentStore(path)
    asking.add_component("retriever", PolyvecRetriever(store, filters=ENGLISH, top_k=2, filter_policy="merge"))
    asking.add_component("ranker", PolyvecRanker(top_k=1, score_threshold=0.1))
    asking.connect("retriever.documents", "ranker.documents")

    again = Pipeline.loads(indexing.dumps(), allowed_modules=TRUSTED)
    assert again.dumps() == indexing.dumps()
    assert again.run({"writer": {"documents": PLANETS}}) == {"writer": {"documents_written": 3}}

    loaded = Pipeline.loads(asking.dumps(), allowed_modules=TRUSTED)
    assert loaded.dumps() == asking.dumps()
    question = "Welcher Planet ist rot?"
    (best,) = loaded.run({"retriever": {"query": question}, "ranker": {"query": question}})["ranker"]["documents"]
    assert best.id == "m"
    again.get_component("writer").document_store.close()
    loaded.get_component("retriever").document_store.close()


def test_what_makes_no_sense_is_refused(store: PolyvecDocumentStore) -> None:
    with pytest.raises(InputError, match="expected a PolyvecDocumentStore"):
        PolyvecRetriever(store.index)
    with pytest.raises(InputError, match="top_k=0"):
        PolyvecRetriever(store, top_k=0)
    with pytest.raises(InputError, match="top_k=0"):
        PolyvecRanker(top_k=0)
    with pytest.raises(InputError, match="encoder object"):
        PolyvecRanker(WordEncoder()).to_dict()
    with pytest.raises(InputError, match="encoder object"):
        PolyvecRetriever(store).to_dict()
