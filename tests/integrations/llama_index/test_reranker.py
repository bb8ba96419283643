"""Reranking as a node postprocessor, alone and in a query engine."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.llama_index import PolyvecIndex, PolyvecReranker
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy

TEXTS = ["blue planet neptune", "red planet mars", "giant planet jupiter"]


def _nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(id_=str(i), text=text), score=0.5) for i, text in enumerate(TEXTS)]


async def test_nodes_come_best_first_and_are_not_changed() -> None:
    given = _nodes()
    reranker = PolyvecReranker(model=WordEncoder(), top_n=2)
    found = reranker.postprocess_nodes(given, query_str="red mars")
    expected = polyvec.rerank("red mars", TEXTS, encoder=WordEncoder(), k=2)
    assert [(one.node_id, one.score) for one in found] == [(hit.id, hit.normalized_score) for hit in expected]
    assert given == _nodes()
    assert await reranker.apostprocess_nodes(given, query_str="red mars") == found


def test_all_of_them_and_none() -> None:
    reranker = PolyvecReranker(model=WordEncoder(), top_n=None)
    assert len(reranker.postprocess_nodes(_nodes(), query_str="mars")) == 3
    assert reranker.postprocess_nodes([], query_str="mars") == []
    with pytest.raises(InputError, match="needs the question"):
        reranker.postprocess_nodes(_nodes())
    with pytest.raises(ValueError, match="top_n"):
        PolyvecReranker(top_n=0)


def test_in_a_query_engine(tmp_path: Path) -> None:
    with polyvec.Index.create(tmp_path / "p.polyvec", encoder=WordEncoder()) as opened:
        index = PolyvecIndex(index=opened, nodes=[one.node for one in _nodes()])
        engine = index.as_query_engine(
            llm=MockLLM(),
            similarity_top_k=3,
            node_postprocessors=[PolyvecReranker(model=WordEncoder(), top_n=1)],
        )
        assert [source.node_id for source in engine.query("red mars").source_nodes] == ["1"]


def test_the_default_model_ranks_across_languages() -> None:
    texts = ("Das Wetter ist heute schön.", "Der Mars ist der rote Planet.")
    given = [NodeWithScore(node=TextNode(text=text)) for text in texts]
    (best,) = PolyvecReranker(top_n=1).postprocess_nodes(given, query_str="Which planet is red?")
    assert best.text.startswith("Der Mars")
