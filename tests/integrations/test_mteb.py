"""A small local MTEB task, run by MTEB itself through a polyvec index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyvec.errors import InputError
from polyvec.integrations.mteb import PolyvecModel, _query_text
from tests.conftest import WordEncoder

CORPUS = [
    {"id": "d1", "title": "", "text": "red planet mars"},
    {"id": "d2", "title": "Neptune", "text": "blue planet"},
    {"id": "d3", "title": "", "text": ""},
]
QUERIES = [{"id": "q1", "text": "mars"}, {"id": "q2", "text": "neptune"}]


def test_search_protocol_without_mteb() -> None:
    model = PolyvecModel(WordEncoder())
    with pytest.raises(InputError, match="before index"):
        model.search(QUERIES, top_k=2)
    model.index(CORPUS[:2])
    found = model.search(QUERIES, top_k=1)
    assert {q: list(hits) for q, hits in found.items()} == {"q1": ["d1"], "q2": ["d2"]}
    assert list(model.search(QUERIES[:1], top_k=5, top_ranked={"q1": ["d2"]})["q1"]) == ["d2"]
    model.close()


def test_queries_are_worded_as_mteb_does() -> None:
    turns = [{"role": "user", "content": "mars"}, {"role": "assistant", "content": "red"}]
    assert _query_text({"text": "mars", "instruction": "find planets"}) == "mars find planets"
    assert _query_text({"text": "mars", "instruction": None}) == "mars"
    assert _query_text({"text": ["mars", "neptune"]}) == "mars; neptune"
    assert _query_text({"text": turns, "instruction": "find"}) == "find user: mars; assistant: red"


@pytest.mark.parametrize("nbits", [2, 16])
def test_a_compressed_index_and_an_uncompressed_one(nbits: int) -> None:
    model = PolyvecModel(WordEncoder(), nbits=nbits) if nbits < 16 else PolyvecModel.uncompressed(WordEncoder())
    model.index([{"id": str(i), "text": f"word{i} planet", "title": ""} for i in range(400)])
    assert model._index is not None
    assert model._index.info()["nbits"] == nbits
    found = model.search([{"id": "q", "text": "word7 planet"}], top_k=3)["q"]
    assert next(iter(found)) == "7"
    assert (abs(found["7"] - 2.0) < 2e-3) == (nbits == 16), "two words that are found whole; compression shows"
    model.close()


def planets() -> Any:
    """A retrieval task of MTEB's that needs no network."""
    mteb = pytest.importorskip("mteb")
    datasets = pytest.importorskip("datasets")
    from mteb.abstasks import AbsTaskRetrieval

    class Planets(AbsTaskRetrieval):
        metadata = mteb.TaskMetadata(
            name="Planets",
            description="two questions",
            reference=None,
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            dataset={"path": "local/planets", "revision": "1"},
            date=("2026-01-01", "2026-01-01"),
            domains=["Written"],
            task_subtypes=[],
            license="cc0-1.0",
            annotations_creators="human-annotated",
            dialect=[],
            sample_creation="created",
            bibtex_citation="",
        )

        def load_data(self, *arguments: Any, **settings: Any) -> None:
            self.dataset = {
                "default": {
                    "test": {
                        "corpus": datasets.Dataset.from_list(CORPUS[:2]),
                        "queries": datasets.Dataset.from_list(QUERIES),
                        "relevant_docs": {"q1": {"d1": 1}, "q2": {"d2": 1}},
                        "top_ranked": None,
                    }
                }
            }
            self.data_loaded = True

    return Planets()


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_a_task_run_by_mteb(tmp_path: Path) -> None:
    mteb = pytest.importorskip("mteb")
    from mteb.models.models_protocols import SearchProtocol

    cache = mteb.ResultCache(cache_path=tmp_path)
    for model in (PolyvecModel(WordEncoder(), nbits=2), PolyvecModel.uncompressed(WordEncoder())):
        assert isinstance(model, SearchProtocol)
        results = mteb.evaluate(model, tasks=[planets()], cache=cache)
        assert results.task_results[0].scores["test"][0]["ndcg_at_10"] == 1.0
        model.close()
    kept = {path.parent.name for path in tmp_path.rglob("Planets.json")}
    assert len(kept) == 2, "each variant has results of its own"
