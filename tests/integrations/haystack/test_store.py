"""Haystack's own suites for document stores, sync and async, and what polyvec adds to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed")

from haystack import Document
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as async_suites

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.haystack import PolyvecDocumentStore
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy


@pytest.fixture
def document_store(tmp_path: Path) -> Iterator[PolyvecDocumentStore]:
    with polyvec.Index.create(tmp_path / "store.polyvec", encoder=WordEncoder()) as index:
        yield PolyvecDocumentStore(index=index)


class _InAnyOrder:
    """Documents come in the order of their ids; Haystack's suites ask for the order of writing, unless told otherwise."""

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert [d.id for d in received] == sorted(d.id for d in received)
        assert received == sorted(expected, key=lambda document: document.id)


class TestTheStandardSuite(
    _InAnyOrder,
    suites.DocumentStoreBaseExtendedTests,
    suites.CountDocumentsByFilterTest,
    suites.CountUniqueMetadataByFilterTest,
    suites.GetMetadataFieldsInfoTest,
    suites.GetMetadataFieldMinMaxTest,
    suites.GetMetadataFieldUniqueValuesTest,
    suites.FilterableDocsFixtureMixin,
):
    """Every test of Haystack's suites for document stores."""

    @pytest.fixture
    def document_store(self, document_store: PolyvecDocumentStore) -> PolyvecDocumentStore:
        return document_store

    def test_write_documents(self, document_store: PolyvecDocumentStore) -> None:
        """The suite leaves this one to each store: without a policy, an id that is there already is refused."""
        document = Document(content="red planet")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestTheAsyncSuite(
    _InAnyOrder,
    async_suites.CountDocumentsAsyncTest,
    async_suites.WriteDocumentsAsyncTest,
    async_suites.DeleteDocumentsAsyncTest,
    async_suites.FilterDocumentsAsyncTest,
    async_suites.DeleteAllAsyncTest,
    async_suites.DeleteByFilterAsyncTest,
    async_suites.UpdateByFilterAsyncTest,
    async_suites.CountDocumentsByFilterAsyncTest,
    async_suites.CountUniqueMetadataByFilterAsyncTest,
    async_suites.GetMetadataFieldsInfoAsyncTest,
    async_suites.GetMetadataFieldMinMaxAsyncTest,
    async_suites.GetMetadataFieldUniqueValuesAsyncTest,
    suites.FilterableDocsFixtureMixin,
):
    """Every async test of Haystack's suites for document stores."""

    @pytest.fixture
    def document_store(self, document_store: PolyvecDocumentStore) -> PolyvecDocumentStore:
        return document_store

    async def test_write_documents_async(self, document_store: PolyvecDocumentStore) -> None:
        """The suite leaves this one to each store."""
        document = Document(content="red planet")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def test_documents_come_back_as_they_were(document_store: PolyvecDocumentStore) -> None:
    documents = [
        Document(id="b", content="red planet", meta={"title": "Mars", "year": 1, "tags": ["a", 2], "in": {"on": "2024-05-31"}}),
        Document(id="a", content="blue", embedding=[0.1, -2.5], score=0.25, blob=ByteStream(b"\x00\xff", mime_type="x/y")),
        Document(id="c", content="green", sparse_embedding=SparseEmbedding([1, 5], [0.5, 0.25])),
    ]  # fmt: skip
    document_store.write_documents(documents)
    assert document_store.filter_documents() == sorted(documents, key=lambda document: document.id)
    (found,) = document_store.retrieve("red planet", top_k=1)
    assert (found.id, found.meta) == ("b", documents[0].meta)
    assert found.score == pytest.approx(document_store.index.search("red planet", k=1)[0].score)
    blue = document_store.retrieve("blue", top_k=1)[0]
    assert (blue.embedding, blue.blob) == (documents[1].embedding, documents[1].blob)
    assert blue.score != documents[1].score


def test_an_index_made_elsewhere_is_searched_and_filtered(document_store: PolyvecDocumentStore) -> None:
    document_store.index.add([{"id": "m", "text": "red mars", "year": 1877}, {"id": "n", "text": "blue neptune"}])
    old = {"field": "meta.year", "operator": "<", "value": 1900}
    assert [d.id for d in document_store.retrieve("planet", filters=old)] == ["m"]
    assert document_store.filter_documents(old) == [Document(id="m", content="red mars", meta={"year": 1877})]


def test_a_batch_with_one_id_twice(document_store: PolyvecDocumentStore) -> None:
    first, second = Document(id="x", content="first"), Document(id="x", content="second")
    with pytest.raises(DuplicateDocumentError, match="'x'"):
        document_store.write_documents([first, second])
    assert document_store.count_documents() == 0
    assert document_store.write_documents([first, second], DuplicatePolicy.SKIP) == 1
    assert document_store.filter_documents() == [first]
    assert document_store.write_documents([first, second], DuplicatePolicy.OVERWRITE) == 2
    assert document_store.filter_documents() == [second]


def test_changed_dates_and_removed_ones_are_found_as_they_are_now(document_store: PolyvecDocumentStore) -> None:
    blob = ByteStream(b"kept")
    document_store.write_documents(
        [Document(id="x", content="text", blob=blob, meta={"kind": 1, "on": "2020-01-01", "other": "2021-01-01"})]
    )
    of_kind = {"field": "meta.kind", "operator": "==", "value": 1}

    def since(day: str, name: str = "on") -> list[str]:
        found = document_store.filter_documents({"field": f"meta.{name}", "operator": ">=", "value": day})
        return [document.id for document in found]

    assert since("2020-01-01") == ["x"]
    assert since("2022-01-01") == []
    assert document_store.update_by_filter(of_kind, {"on": "2023-01-01"}) == 1
    assert since("2022-01-01") == ["x"]
    assert document_store.update_by_filter(of_kind, {"on": None}) == 1
    assert since("1900-01-01") == []
    assert since("2021-01-01", "other") == ["x"]
    assert document_store.update_by_filter(of_kind, {"other": "no date", "title": "New"}) == 1
    (changed,) = document_store.filter_documents()
    assert changed.meta == {"kind": 1, "on": None, "other": "no date", "title": "New"}
    assert changed.blob == blob
    assert document_store.index.get(["x"])[0].metadata["_haystack"].keys() == {"blob"}


def test_a_path_is_made_on_first_use_and_read_by_another_store(tmp_path: Path) -> None:
    path = tmp_path / "shared.polyvec"
    writer = PolyvecDocumentStore(path, model=WordEncoder())
    assert not path.exists()
    writer.write_documents([Document(id="m", content="red mars")])
    reader = PolyvecDocumentStore(str(path), model=WordEncoder())
    assert reader.count_documents() == 1
    writer.write_documents([Document(id="n", content="blue neptune")])
    assert [document.id for document in reader.retrieve("blue neptune", top_k=1)] == ["n"]
    writer.close()
    reader.close()
    assert reader.count_documents() == 2
    reader.close()


def test_settings_go_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "settings.polyvec"
    store = PolyvecDocumentStore(path, nbits=2)
    data = store.to_dict()
    assert data["init_parameters"] == {"path": str(path), "model": None, "nbits": 2}
    assert PolyvecDocumentStore.from_dict(data).to_dict() == data
    assert not path.exists()
    with polyvec.Index.create(path, encoder=WordEncoder()) as index:
        assert PolyvecDocumentStore(index=index).to_dict()["init_parameters"]["path"] == str(path)
    with pytest.raises(InputError, match="encoder object"):
        PolyvecDocumentStore(path, model=WordEncoder()).to_dict()


def test_a_server_is_a_store_too() -> None:
    class Remote:
        """Has the methods of an index, as a client has them."""

        def search(self, *args: Any, **keywords: Any) -> list[Any]:
            return []

        get = add = delete = search

    store = PolyvecDocumentStore(index=Remote())
    assert store.retrieve("mars") == []
    with pytest.raises(InputError, match="no path"):
        store.to_dict()


def test_what_cannot_be_done_is_said(document_store: PolyvecDocumentStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not both"):
        PolyvecDocumentStore()
    with pytest.raises(InputError, match="not both"):
        PolyvecDocumentStore(tmp_path, index=document_store.index)
    with pytest.raises(InputError, match="open already"):
        PolyvecDocumentStore(index=document_store.index, nbits=2)
    with pytest.raises(InputError, match="no content"):
        document_store.write_documents([Document(id="e", content=" ")])
    with pytest.raises(InputError, match="_haystack"):
        document_store.write_documents([Document(id="e", content="x", meta={"_haystack": 1})])
    with pytest.raises(InputError, match="not plain JSON"):
        document_store.write_documents([Document(id="e", content="x", meta={"a": {1, 2}})])
    with pytest.raises(InputError, match="all documents"):
        document_store.delete_by_filter({})
    with pytest.raises(InputError, match="keeps for itself"):
        document_store.update_by_filter({"field": "meta.a", "operator": "==", "value": 1}, {"_haystack": 1})
    with pytest.raises(FilterError, match="not a number"):
        document_store.filter_documents({"field": "meta.a", "operator": "==", "value": float("inf")})
    document_store.write_documents([Document(id="m", content="red mars")])
    with pytest.raises(InputError, match="no scaled scores"):
        document_store.retrieve("mars", scale_score=True, search_options={"mode": "keyword"})


async def test_the_event_loop_stays_free(document_store: PolyvecDocumentStore) -> None:
    """While the store works, other coroutines run; how quickly is for the benchmark."""

    class Slow:
        """An index that takes a while to count."""

        search = get = add = delete = document_store.index.search

        def __len__(self) -> int:
            time.sleep(0.2)
            return 7

    turns = 0
    counting = asyncio.ensure_future(PolyvecDocumentStore(index=Slow()).count_documents_async())
    while not counting.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert await counting == 7
    assert turns > 5
