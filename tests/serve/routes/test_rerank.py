"""POST /v1/rerank orders as polyvec.rerank does, in the shape that Cohere and Jina have."""

from __future__ import annotations

from typing import Any

import pytest

import polyvec
from tests.conftest import WordEncoder
from tests.serve.running import Running

TEXTS = ["Bread is baked in an oven.", "Bees dance near flowers.", "Flowers need bees."]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_order_is_that_of_python(shared: Running, path: str) -> None:
    answer = shared.post(path, {"model": "rerank-v3.5", "query": "bees flowers", "documents": TEXTS}).json()
    expected = polyvec.rerank("bees flowers", TEXTS, encoder=WordEncoder())
    assert [one["index"] for one in answer["results"]] == [int(hit.id) for hit in expected]
    assert [one["relevance_score"] for one in answer["results"]] == [hit.normalized_score for hit in expected]
    assert "document" not in answer["results"][0]
    assert answer["usage"]["total_tokens"] == 2 + sum(len(text.split()) for text in TEXTS)


def test_texts_may_be_objects_and_come_back(shared: Running) -> None:
    documents = [{"text": TEXTS[0]}, TEXTS[1]]
    asked = {"query": "oven", "documents": documents, "top_n": 1, "return_documents": True}
    assert shared.post("/v1/rerank", asked).json()["results"] == [
        {"index": 0, "relevance_score": pytest.approx(1.0), "score": pytest.approx(1.0), "document": {"text": TEXTS[0]}}
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"query": "a", "documents": []}, "documents: got an empty list, expected at least one text."),
        ({"query": "a", "documents": "b"}, "documents: got one str, expected a list of documents. Wrap a single one in a list."),
        ({"query": "a", "documents": ["b", ""]}, "documents[1] is empty. Leave it out, or give it a text."),
        ({"query": "a", "documents": [{"text": "b", "id": 1}]}, "documents[0]: got {'id': 1, 'text': 'b'}, expected a text, or an "
         "object with `text` alone."),
        ({"query": "a", "documents": [{}]}, "documents[0]: got {}, expected a text, or an object with `text` alone."),
        ({"query": "a", "documents": [5]}, "documents[0] is int, not text: 5. Give strings."),
        ({"query": "", "documents": ["b"]}, "query is empty. Leave it out, or give it a text."),
        ({"query": "a", "documents": ["b"], "top_n": 0}, "top_n=0: expected a whole number of documents, at least 1."),
        ({"query": "a", "documents": ["b"] * 1001}, "documents: got 1,001, and at most 1,000 are taken at once. Ask in parts."),
        ({"query": "a", "documents": ["b" * 1_000_001]}, "documents[0] has 1,000,001 characters, and at most 1,000,000 are taken. "
         "Cut or split it."),
        ({"query": "a"}, "documents is missing; the fields are model, query, documents, top_n, return_documents, collection."),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_reranked(shared: Running, body: Any, sentence: str) -> None:
    answer = shared.post("/v1/rerank", body)
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
