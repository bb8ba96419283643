"""The retriever: order, scores, filters, and restricting to nodes or documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core.schema import NodeRelationship, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

import polyvec
from polyvec.errors import FilterError
from polyvec.integrations.llama_index import PolyvecIndex, PolyvecRetriever
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy


def _node(id: str, text: str, source: str, **metadata: object) -> TextNode:
    return TextNode(
        id_=id, text=text, metadata=metadata, relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    )


NODES = [
    _node("m", "red planet mars", "a", lang="en", year=1877, tags=["dry", "cold"]),
    _node("n", "blue planet neptune", "b", lang="de", year=1846),
    _node("j", "giant planet jupiter", "b", lang="en", tags=[]),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolyvecIndex]:
    path = tmp_path_factory.mktemp("r") / "planets.polyvec"
    with polyvec.Index.create(path, encoder=WordEncoder()) as opened:
        yield PolyvecIndex(index=opened, nodes=NODES)


def _ids(index: PolyvecIndex, **keywords: object) -> list[str]:
    found = index.as_retriever(similarity_top_k=9, **keywords).retrieve("planet")
    return sorted(one.node_id for one in found)


def test_nodes_come_best_first_with_scores_from_0_to_1(index: PolyvecIndex) -> None:
    found = index.as_retriever(similarity_top_k=3).retrieve(QueryBundle("red planet mars"))
    expected = index.index.search("red planet mars", k=3)
    assert [(one.node_id, one.score) for one in found] == [(hit.id, hit.normalized_score) for hit in expected]
    assert found[0].node == NODES[0]
    assert found[0].score == pytest.approx(1.0, abs=1e-2)
    (word,) = index.as_retriever(search_options={"mode": "keyword"}).retrieve("neptune")
    assert word.score == pytest.approx(index.index.search("neptune", mode="keyword")[0].score)


def test_filters_nested_and_single(index: PolyvecIndex) -> None:
    english = MetadataFilter(key="lang", value="en")
    old = MetadataFilter(key="year", operator=FilterOperator.LT, value=1850)
    assert _ids(index, filters=MetadataFilters(filters=[english])) == ["j", "m"]
    assert _ids(index, filters=MetadataFilters(filters=[english, old])) == []
    assert _ids(index, filters=MetadataFilters(filters=[english, old], condition=FilterCondition.OR)) == ["j", "m", "n"]
    nested = MetadataFilters(filters=[MetadataFilters(filters=[old], condition=FilterCondition.NOT), english])
    assert _ids(index, filters=nested) == ["j", "m"]
    dry = MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value="dry")
    assert _ids(index, filters=MetadataFilters(filters=[dry])) == ["m"]
    empty = MetadataFilter(key="tags", operator=FilterOperator.IS_EMPTY, value=None)
    assert _ids(index, filters=MetadataFilters(filters=[empty])) == ["j", "n"]
    with pytest.raises(FilterError, match="does not look inside"):
        _ids(index, filters=MetadataFilters(filters=[MetadataFilter(key="lang", operator="text_match", value="e")]))


def test_only_some_nodes_or_documents(index: PolyvecIndex) -> None:
    assert _ids(index, node_ids=["m", "n", "unknown"]) == ["m", "n"]
    assert _ids(index, doc_ids=["b"]) == ["j", "n"]
    english = MetadataFilters(filters=[MetadataFilter(key="lang", value="en")])
    assert _ids(index, doc_ids=["b"], filters=english) == ["j"]
    assert _ids(index, doc_ids=[]) == []


def test_an_index_is_enough(index: PolyvecIndex) -> None:
    found = PolyvecRetriever(index.index, similarity_top_k=1).retrieve("red mars")
    assert [one.node_id for one in found] == ["m"]
