"""Reranking as a document compressor, and inside a contextual compression pipeline's contract."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")

from langchain_core.documents import Document

import polyvec
from polyvec.integrations.langchain import PolyvecReranker
from tests.conftest import WordEncoder

pytestmark = pytest.mark.heavy

TEXTS = ["blue planet neptune", "red planet mars", "giant planet jupiter"]


def test_documents_come_best_first_and_are_not_changed() -> None:
    documents = [Document(id=str(i), page_content=text, metadata={"i": i}) for i, text in enumerate(TEXTS)]
    reranker = PolyvecReranker(model=WordEncoder(), top_n=2)
    found = reranker.compress_documents(documents, "red mars")
    expected = polyvec.rerank("red mars", TEXTS, encoder=WordEncoder(), k=2)
    assert [d.id for d in found] == [hit.id for hit in expected]
    assert [d.metadata["relevance_score"] for d in found] == [hit.normalized_score for hit in expected]
    assert documents[1].metadata == {"i": 1}
    assert asyncio.run(reranker.acompress_documents(documents, "red mars")) == found


def test_all_of_them_and_none() -> None:
    reranker = PolyvecReranker(model=WordEncoder(), top_n=None)
    assert len(reranker.compress_documents([Document(page_content=t) for t in TEXTS], "mars")) == 3
    assert reranker.compress_documents([], "mars") == []


def test_the_default_model_ranks_across_languages() -> None:
    documents = [Document(page_content=t) for t in ("Das Wetter ist heute schön.", "Der Mars ist der rote Planet.")]
    (best,) = PolyvecReranker(top_n=1).compress_documents(documents, "Which planet is red?")
    assert best.page_content.startswith("Der Mars")
