"""What adapters are given: a path, an index, shards or a client; and each adapter on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.target import encoder_of, explained, opened, path_or_index
from tests.conftest import WordEncoder

DOCUMENTS = [{"id": "m", "text": "red planet mars", "year": 1877}, {"id": "n", "text": "blue planet neptune"}]


@pytest.fixture(params=["path", "index", "path of shards", "shards", "client"])
def searched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty collection, given to an adapter in each way."""
    path, encoder = tmp_path / "planets.polyvec", WordEncoder()
    with ExitStack() as stack:
        if "shards" in request.param:
            polyvec.Shards.create(path, shards=2, encoder=encoder).close()
        if request.param == "index":
            yield stack.enter_context(polyvec.Index.create(path, encoder=encoder))
        elif request.param == "shards":
            yield stack.enter_context(polyvec.Shards.open(path, encoder=encoder))
        elif request.param == "client":
            pytest.importorskip("fastapi", reason="fastapi is not installed")
            from tests.serve.in_thread import served

            polyvec.Index.create(path, encoder=encoder).close()
            url = stack.enter_context(served([path], encoder=encoder))
            yield stack.enter_context(polyvec.Client(url))
        else:
            one = opened(path, model=encoder)
            stack.callback(one.close)
            yield one


def test_it_is_searched_and_explained(searched: Any) -> None:
    target = opened(searched)
    assert target is searched
    target.add(DOCUMENTS)
    assert [hit.id for hit in target.search("red mars", k=1)] == ["m"]
    explanation = explained(target, "red mars", "m")
    assert "mars" in [explanation.text[h.start : h.end] for h in explanation.highlights()]
    for unknown in ("x", None):
        with pytest.raises(InputError, match="holds no document"):
            explained(target, "red mars", unknown)


@pytest.mark.heavy
def test_langchain_works_on_it(searched: Any) -> None:
    pytest.importorskip("langchain_core", reason="langchain-core is not installed")
    from langchain_core.documents import Document

    from polyvec.integrations.langchain import PolyvecVectorStore

    store = PolyvecVectorStore(searched)
    given = [Document(id=d["id"], page_content=d["text"], metadata={"year": d.get("year")}) for d in DOCUMENTS]
    assert store.add_documents(given) == ["m", "n"]
    assert store.similarity_search("planet", k=9, filter={"year": {"$lt": 1900}}) == given[:1]
    assert store.explain("mars", given[0]).highlights()
    assert store.get_by_ids(["n", "m"]) == given[::-1]
    assert store.delete()
    assert store.get_by_ids(["n", "m"]) == []


@pytest.mark.heavy
def test_llama_index_works_on_it(searched: Any) -> None:
    pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")
    from llama_index.core import Document
    from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

    from polyvec.integrations.llama_index import PolyvecIndex

    documents = [Document(id_=d["id"], text=d["text"], metadata={"year": d.get("year")}) for d in DOCUMENTS]
    index = PolyvecIndex.from_documents(documents, index=searched)
    old = MetadataFilters(filters=[MetadataFilter(key="year", operator="<", value=1900)])
    (found,) = index.as_retriever(similarity_top_k=9, filters=old).retrieve("planet")
    assert (found.node.ref_doc_id, found.node.metadata) == ("m", {"year": 1877})
    assert index.explain("mars", found.node).highlights()
    assert index.refresh_ref_docs(documents) == [False, False]
    index.delete_ref_doc("m")
    assert index.ref_doc_info.keys() == {"n"}


@pytest.mark.heavy
def test_haystack_works_on_it(searched: Any) -> None:
    pytest.importorskip("haystack", reason="haystack-ai is not installed")
    from haystack import Document

    from polyvec.integrations.haystack import PolyvecDocumentStore

    store = PolyvecDocumentStore(index=searched)
    documents = [
        Document(id=d["id"], content=d["text"], meta={"on": f"{d.get('year', 1999)}-01-01"}) for d in DOCUMENTS
    ]
    assert store.write_documents(documents) == 2
    old = {"field": "meta.on", "operator": "<", "value": "1900-01-01T00:00:00Z"}
    assert store.filter_documents(old) == documents[:1]
    assert [d.id for d in store.retrieve("planet", filters=old)] == ["m"]
    assert store.update_by_filter(old, {"on": "1950-01-01"}) == 1
    assert store.filter_documents(old) == []
    assert store.explain("mars", documents[0]).highlights()
    store.delete_all_documents()
    assert store.count_documents() == 0


def test_an_index_at_a_path_shows_what_others_write(tmp_path: Path) -> None:
    path = tmp_path / "planets.polyvec"
    reader = opened(path, model=WordEncoder(), nbits=2)
    with polyvec.Index.open(path, encoder=WordEncoder()) as writer:
        writer.add(DOCUMENTS)
    assert len(reader) == 2
    assert reader.info()["nbits"] == 2
    reader.close()


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="int, which has no search"):
        opened(3)
    with polyvec.Index.create(tmp_path / "i.polyvec", encoder=WordEncoder()) as index:
        with pytest.raises(InputError, match="open already"):
            opened(index, model=WordEncoder())
        with pytest.raises(InputError, match="X: give a path"):
            path_or_index("X", "p", index)
        assert path_or_index("X", None, index) is index
    polyvec.Shards.create(tmp_path / "s", shards=2, encoder=WordEncoder()).close()
    with pytest.raises(InputError, match="has shards already"):
        opened(tmp_path / "s", nbits=2)


def test_a_model_is_an_encoder_a_name_or_none() -> None:
    encoder = WordEncoder()
    assert encoder_of(encoder) is encoder
    assert encoder_of(None).fingerprint == polyvec.Encoder().fingerprint
