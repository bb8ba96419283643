"""POST /v1/explain says what Index.explain says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.running import Running


def test_it_is_the_explanation_of_the_index(shared: Running) -> None:
    (hit,) = shared.search("bees dance", k=1)[0]["hits"]
    answer = shared.post("/v1/explain", {"query": "bees dance", "hit": hit})
    assert answer.status_code == 200
    explained = answer.json()
    assert explained["score"] == pytest.approx(hit["score"], abs=1e-4)
    assert ["dance", "dance"] in [[m["query_token"], m["document_token"]] for m in explained["matches"]]
    assert explained == shared.search("bees dance", k=1, explain=True)[0]["hits"][0]["explanation"]


@pytest.mark.parametrize(
    ("hit", "said"),
    [
        ({"id": "none", "text": "Bees"}, "holds no such document any more"),
        ({"id": "bees-en", "text": "Other bees"}, "has another text by now"),
        ({"id": "bees-en"}, "has no stored text"),
        ({"id": "bees-en", "text": 3}, "its text is 3, expected a text or null"),
        ({"text": "Bees"}, "no id"),
        ({"id": "bees-en", "text": "Bees", "metadata": [1]}, "expected a dict of fields"),
        ("bees-en", "expected an object with id, text and metadata"),
    ],
)
def test_what_cannot_be_explained(shared: Running, hit: Any, said: str) -> None:
    answer = shared.post("/v1/explain", {"query": "bees", "hit": hit})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
