"""LangChain's own suite for retrievers, and the settings of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

import polyvec
from polyvec.integrations.langchain import PolyvecRetriever
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy

TEXTS = ["red planet mars", "blue planet neptune", "giant planet jupiter", "dwarf planet pluto"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[polyvec.Index]:
    with polyvec.Index.create(tmp_path_factory.mktemp("r") / "planets.polyvec", encoder=WordEncoder()) as made:
        made.add([{"id": text.split()[-1], "text": text, "size": len(text)} for text in TEXTS])
        yield made


class TestTheStandardSuite(RetrieversIntegrationTests):
    """Every test of langchain-tests."""

    @pytest.fixture(autouse=True)
    def _keep_index(self, index: polyvec.Index) -> None:
        self._index = index

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return PolyvecRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": self._index, "k": 2}

    @property
    def retriever_query_example(self) -> str:
        return "which planet is red"


def test_settings_hold_and_a_call_may_change_them(index: polyvec.Index) -> None:
    retriever = PolyvecRetriever(index=index, k=1, search_options={"mode": "keyword"}, scores=True)
    (found,) = retriever.invoke("mars")
    assert found.id == "mars"
    assert found.metadata["relevance_score"] > 0
    assert len(retriever.invoke("planet", k=3)) == 3
    assert [d.id for d in PolyvecRetriever(index=index, filter={"size": {"$lt": 16}}).invoke("planet")] == ["mars"]


def test_bad_settings_are_refused(index: polyvec.Index) -> None:
    with pytest.raises(ValueError, match="k"):
        PolyvecRetriever(index=index, k=0)
    with pytest.raises(ValueError, match="has no"):
        PolyvecRetriever(index=3)
    with pytest.raises(ValueError, match="unknown_field"):
        PolyvecRetriever(index=index, unknown_field=1)
