"""Documents into a LlamaIndex index over polyvec, and out of it: inserting, updating, deleting, asking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import Document, NodeRelationship, TextNode

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.llama_index import PolyvecIndex
from tests.conftest import WordEncoder

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MARS = "red planet mars has two moons. phobos is one of them. deimos is the other one."
SPLITTER = [TokenTextSplitter(chunk_size=28, chunk_overlap=0)]


def documents() -> list[Document]:
    return [
        Document(id_="mars", text=MARS, metadata={"lang": "en", "year": 1877, "tags": ["dry"]}),
        Document(id_="neptune", text="blue planet neptune", metadata={"lang": "de"}),
    ]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PolyvecIndex]:
    with polyvec.Index.create(tmp_path / "planets.polyvec", encoder=WordEncoder()) as opened:
        yield PolyvecIndex.from_documents(documents(), index=opened, transformations=SPLITTER)


def test_nodes_keep_ids_metadata_and_relationships(index: PolyvecIndex) -> None:
    parts = index.ref_doc_info["mars"].node_ids
    assert len(parts) > 1
    nodes = {node.node_id: node for node in index.get_nodes([*parts, "unknown"])}
    assert nodes.keys() == set(parts)
    for node in nodes.values():
        assert node.ref_doc_id == "mars"
        assert node.metadata == {"lang": "en", "year": 1877, "tags": ["dry"]}
    (first,) = [node for node in nodes.values() if NodeRelationship.PREVIOUS not in node.relationships]
    second = nodes[first.next_node.node_id]
    assert second.prev_node.node_id == first.node_id
    assert first.get_content().startswith("red planet")
    assert index.ref_doc_info.keys() == {"mars", "neptune"}
    assert index.ref_doc_info["mars"].metadata["year"] == 1877


def test_nothing_is_kept_beside_the_index(index: PolyvecIndex) -> None:
    index.insert_nodes([TextNode(text="giant jupiter")])
    assert index.docstore.docs == {}


def test_it_is_on_disk_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "again.polyvec"
    made = PolyvecIndex.from_documents(documents(), path=path, model=WordEncoder(), transformations=SPLITTER)
    made.index.close()
    again = PolyvecIndex(path, model=WordEncoder())
    (found,) = again.as_retriever(similarity_top_k=1).retrieve("neptune")
    assert (found.node.ref_doc_id, found.text) == ("neptune", "blue planet neptune")
    again.index.close()


def test_a_document_is_deleted_with_its_nodes(index: PolyvecIndex) -> None:
    index.delete_ref_doc("mars")
    assert index.ref_doc_info.keys() == {"neptune"}
    assert len(index.index) == 1
    index.delete_ref_doc("mars")
    index.delete_nodes([*index.ref_doc_info["neptune"].node_ids, "unknown"])
    assert len(index.index) == 0


def test_documents_are_updated_and_refreshed(index: PolyvecIndex) -> None:
    before = index.ref_doc_info["neptune"].node_ids
    index.update_ref_doc(Document(id_="mars", text="mars is dusty"))
    (only,) = index.get_nodes(index.ref_doc_info["mars"].node_ids)
    assert only.get_content() == "mars is dusty"
    assert index.ref_doc_info["neptune"].node_ids == before
    fresh = [Document(id_="mars", text="mars is dusty"), documents()[1], Document(id_="pluto", text="dwarf pluto")]
    assert index.refresh_ref_docs(fresh) == [False, False, True]
    changed = Document(id_="neptune", text="neptune is cold")
    assert index.refresh_ref_docs([changed]) == [True]
    assert index.refresh_ref_docs([changed]) == [False]
    assert len(index.index) == 3


def test_indexing_again_takes_the_place_of_the_earlier_documents(index: PolyvecIndex) -> None:
    count = len(index.index)
    again = PolyvecIndex.from_documents(documents(), index=index.index, transformations=SPLITTER)
    assert len(again.index) == count


def test_a_node_whose_id_is_there_is_replaced(index: PolyvecIndex) -> None:
    index.insert_nodes([TextNode(id_="x", text="first"), TextNode(id_="x", text="second")])
    index.insert_nodes([TextNode(id_="x", text="third")])
    assert [node.get_content() for node in index.get_nodes(["x"])] == ["third"]
    index.insert_nodes([])


async def test_the_async_methods_do_the_same(index: PolyvecIndex) -> None:
    await index.ainsert(Document(id_="pluto", text="dwarf planet pluto"))
    (found,) = await index.as_retriever(similarity_top_k=1).aretrieve("dwarf pluto")
    assert found.node.ref_doc_id == "pluto"
    await index.aupdate_ref_doc(Document(id_="pluto", text="pluto has a heart"))
    assert await index.arefresh_ref_docs([Document(id_="pluto", text="pluto has a heart")]) == [False]
    await index.adelete_ref_doc("pluto")
    assert "pluto" not in index.ref_doc_info
    await index.ainsert_nodes([TextNode(id_="x", text="jupiter")])
    await index.adelete_nodes(["x"])
    assert index.get_nodes(["x"]) == []


async def test_the_event_loop_stays_free(index: PolyvecIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nodes are inserted, other coroutines run; how quickly is for the benchmark."""
    go = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(nodes: list[TextNode], **keywords: object) -> None:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(timeout=30)  # would never end on the loop's own thread

    monkeypatch.setattr(index, "_insert", slow)
    inserting = asyncio.ensure_future(index.ainsert_nodes([TextNode(text="x")]))
    await asyncio.sleep(0.01)
    go.set()
    await inserting


def test_a_query_engine_answers_with_its_sources(index: PolyvecIndex) -> None:
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1, response_mode="compact")
    response = engine.query("neptune")
    assert [source.node.ref_doc_id for source in response.source_nodes] == ["neptune"]
    assert "blue planet neptune" in str(response)


def test_what_makes_no_sense_is_refused(index: PolyvecIndex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not both"):
        PolyvecIndex()
    with pytest.raises(InputError, match="not both"):
        PolyvecIndex(tmp_path, index=index.index)
    with pytest.raises(InputError, match="open already"):
        PolyvecIndex(index=index.index, nbits=2)
    with pytest.raises(InputError, match="similarity_top_k"):
        index.as_retriever(similarity_top_k=0)
