"""LangChain's own suite for vector stores, sync and async, and what polyvec adds to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.structured_query import Comparator, Comparison
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import polyvec
from polyvec.errors import InputError
from polyvec.integrations.langchain import PolyvecVectorStore
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy

PLANETS = [
    Document(id="m", page_content="red planet mars", metadata={"lang": "en", "year": 2001, "tags": ["dry", "cold"]}),
    Document(id="n", page_content="blue planet neptune", metadata={"lang": "de", "year": 2019}),
    Document(id="j", page_content="giant planet jupiter", metadata={"lang": "en", "year": None}),
]


class TestTheStandardSuite(VectorStoreIntegrationTests):
    """Every test of langchain-tests; none is left out or expected to fail."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[PolyvecVectorStore]:
        with polyvec.Index.create(tmp_path / "store.polyvec", encoder=WordEncoder()) as index:
            yield PolyvecVectorStore(index)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PolyvecVectorStore]:
    made = PolyvecVectorStore(tmp_path / "planets.polyvec", encoder=WordEncoder())
    made.add_documents(PLANETS)
    yield made
    made.index.close()


def test_a_path_is_made_and_then_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "again.polyvec"
    first = PolyvecVectorStore.from_texts(
        ["red mars"], metadatas=[{"a": 1}], ids=["m"], index=path, encoder=WordEncoder()
    )
    first.index.close()
    second = PolyvecVectorStore(path, encoder=WordEncoder())
    assert second.similarity_search("mars", k=1) == [Document(id="m", page_content="red mars", metadata={"a": 1})]
    second.index.close()


def test_documents_keep_metadata_types_and_their_order(store: PolyvecVectorStore) -> None:
    assert store.get_by_ids(["n", "missing", "m"]) == [PLANETS[1], PLANETS[0]]
    assert store.similarity_search("planet mars", k=3)[0].id == "m"


def test_filters_as_dicts_and_as_directives(store: PolyvecVectorStore) -> None:
    assert {d.id for d in store.similarity_search("planet", k=9, filter={"lang": "en"})} == {"m", "j"}
    recent = Comparison(Comparator.GTE, "year", 2010)
    assert [d.id for d in store.similarity_search("planet", k=9, filter=recent)] == ["n"]
    with pytest.raises(ValueError, match="got a function"):
        store.similarity_search("planet", filter=lambda document: True)


def test_scores_fall_and_relevance_is_a_share(store: PolyvecVectorStore) -> None:
    scored = store.similarity_search_with_score("red mars", k=3)
    assert [score for _, score in scored] == sorted((score for _, score in scored), reverse=True)
    relevant = store.similarity_search_with_relevance_scores("red mars", k=3, score_threshold=0.99)
    assert [(document.id, pytest.approx(1.0, abs=1e-2)) for document, _ in relevant] == [("m", relevant[0][1])]
    with pytest.raises(ValueError, match="BM25 has no upper bound"):
        store.similarity_search_with_relevance_scores("mars", mode="keyword")


def test_deleting_by_filter_and_everything(store: PolyvecVectorStore) -> None:
    assert store.delete(filter={"lang": "de"})
    assert len(store.index) == 2
    with pytest.raises(ValueError, match="both"):
        store.delete(["m"], filter={"lang": "en"})
    assert store.delete()
    assert len(store.index) == 0


def test_a_retriever_of_the_store_takes_its_settings(store: PolyvecVectorStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"lang": "en"}})
    assert [document.id for document in retriever.invoke("mars")] == ["m"]
    thresholded = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9, "k": 3}
    )
    assert [document.id for document in thresholded.invoke("red planet mars")] == ["m"]


def test_an_embedding_is_not_needed_and_the_store_says_so(tmp_path: Path) -> None:
    with (
        polyvec.Index.create(tmp_path / "e.polyvec", encoder=WordEncoder()) as index,
        pytest.warns(UserWarning, match="does not use the embedding given"),
    ):
        PolyvecVectorStore(index, DeterministicFakeEmbedding(size=4))


def test_what_cannot_be_done_is_said(store: PolyvecVectorStore) -> None:
    with pytest.raises(NotImplementedError, match="one vector a text"):
        store.max_marginal_relevance_search("mars")
    with pytest.raises(ValueError, match="unknown keyword 'batch'"):
        store.add_documents(PLANETS, batch=3)
    with pytest.raises(ValueError, match="wrong_option"):
        store.similarity_search("mars", wrong_option=1)
    with pytest.raises(ValueError, match="ids: got 1 for 2"):
        store.add_texts(["a b", "c d"], ids=["x"])
    with pytest.raises(ValueError, match="metadatas: got 1 for 2"):
        store.add_texts(["a b", "c d"], [{}])
    with pytest.raises(InputError, match="has no search"):
        PolyvecVectorStore(42)
    assert len(store.index) == 3


def test_the_event_loop_stays_free(store: PolyvecVectorStore) -> None:
    """While a search waits, other coroutines run; how quickly is for the benchmark."""

    class Slow:
        """An index whose search takes a while."""

        def __getattr__(self, name: str) -> object:
            return getattr(store.index, name)

        def search(self, *args: object, **keywords: object) -> object:
            time.sleep(0.2)
            return store.index.search(*args, **keywords)

    async def both() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while not searching.done():
                turns += 1
                await asyncio.sleep(0.001)

        searching = asyncio.ensure_future(PolyvecVectorStore(Slow()).asimilarity_search("mars", k=1))
        await asyncio.gather(searching, count())
        return turns

    assert asyncio.run(both()) > 5
