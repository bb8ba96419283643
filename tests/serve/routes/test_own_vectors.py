"""POST /v1/search-vectors and PUT /v1/vectors: token vectors that a client made."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import WordEncoder
from tests.serve.conftest import Start
from tests.serve.running import Running


def _packed(vectors: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.asarray(vectors, "<f4").tobytes()).decode()


def _put(running: Running, rows: list[Any], **parameters: str) -> Any:
    body = "".join(json.dumps(row) + "\n" for row in rows)
    headers = {"content-type": "application/x-ndjson"}
    return running.client.put("/v1/vectors", content=body, headers=headers, params=parameters)


def test_a_search_is_that_of_the_index(shared: Running) -> None:
    (collection,) = shared.serving.collections.values()
    queries = [one.vectors for one in WordEncoder().stream_queries(["bees dance", "bread oven"])]
    answer = shared.post("/v1/search-vectors", {"vectors": [_packed(one) for one in queries], "k": 2})
    found = [[(hit["id"], hit["score"]) for hit in one["hits"]] for one in answer.json()["results"]]
    expected = collection.index.search_vectors(queries, k=2)
    assert found == [[(hit.id, hit.score) for hit in hits] for hits in expected]
    answer = shared.post(
        "/v1/search-vectors", {"vectors": [_packed(queries[0])], "filter": {"lang": "de"}, "options": {"exact": True}}
    )
    assert [hit["id"] for hit in answer.json()["results"][0]["hits"]] == ["bees-de"]


def test_what_multi_vector_gives_can_be_searched_with_and_stored(start: Start) -> None:
    running = start()
    given = {"input": ["bees dance"], "input_type": "query", "encoding_format": "base64"}
    half = running.post("/v1/multi-vector", given).json()["data"][0]["embeddings"]
    answer = running.post("/v1/search-vectors", {"vectors": [half], "dtype": "float16", "k": 3})
    assert answer.status_code == 200, answer.text
    found, expected = answer.json()["results"][0]["hits"], running.search("bees dance", k=3)[0]["hits"]
    assert [hit["id"] for hit in found] == [hit["id"] for hit in expected]
    assert [hit["score"] for hit in found] == pytest.approx([hit["score"] for hit in expected], abs=0.01)
    assert _put(running, [{"id": "own", "vectors": half}], dtype="float16").json()["tokens"] == len(
        base64.b64decode(half)
    ) // (2 * 16)
    assert "dtype='int8'" in _put(running, [{"id": "own", "vectors": half}], dtype="int8").json()["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"vectors": "AAAA"}, "vectors: got one str"),
        ({"vectors": [3]}, "expected base64 of float32 rows"),
        ({"vectors": ["not base64!"]}, "expected base64 of float32 rows"),
        ({"vectors": ["é"]}, "expected base64 of float32 rows"),
        ({"vectors": ["AAAA"]}, "3 bytes are no rows of 16 float32 numbers"),
        ({"vectors": [""]}, "no token vectors"),
        ({"vectors": [_packed(np.full((1, 16), np.nan))]}, "NaN or infinity"),
        ({"vectors": [_packed(np.zeros((1, 16)))]}, "all zeros"),
        ({"vectors": [_packed(np.ones((1, 16)))], "options": 3}, "options=3"),
        ({"vectors": [_packed(np.ones((1, 16)))] * 1001}, "at most 1,000"),
        ({"vectors": [], "k": 0}, "k=0"),
        ({"vectors": ["AAAA"], "dtype": "float16"}, "3 bytes are no rows of 16 float16 numbers"),
        ({"vectors": [], "dtype": "int8"}, "dtype='int8': expected one of float32, float16"),
        ({"vectors": [], "dtype": ""}, "dtype='': expected one of float32, float16"),
        ({"vectors": [], "dtype": False}, "dtype=False: expected one of float32, float16"),
        ({"vectors": [], "options": []}, "options=[]"),
        ({}, "vectors is missing"),
    ],
)
def test_what_makes_no_sense(shared: Running, body: dict[str, Any], said: str) -> None:
    answer = shared.post("/v1/search-vectors", body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_storing(start: Start) -> None:
    running = start()
    rows = [
        {"id": "own", "vectors": _packed(np.eye(2, 16)), "metadata": {"a": 1}},
        {"id": "b", "vectors": _packed(np.eye(1, 16))},
    ]
    answer = _put(running, rows)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["added"], answer.json()["tokens"]) == (2, 3)
    found = running.post("/v1/search-vectors", {"vectors": [_packed(np.eye(2, 16))], "k": 1}).json()["results"][0][
        "hits"
    ]
    assert (found[0]["id"], found[0]["metadata"], found[0]["text"]) == ("own", {"a": 1}, None)
    assert _put(running, rows, existing="skip").json()["skipped"] == 2
    assert _put(running, rows, existing="error").status_code == 422


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "x"}, "line 2: got"),
        ({"id": "x", "vectors": "AAAA"}, "line 2: vectors: 3 bytes"),
        (
            {"id": "x", "vectors": _packed(np.eye(1, 16)), "text": "t"},
            "expected an object with id, vectors and metadata",
        ),
        ({"id": "", "vectors": _packed(np.eye(1, 16))}, "blank"),
        ([], "line 2: got []"),
        ({"id": "x", "vectors": _packed(np.eye(1, 16)), "metadata": ""}, "metadata of document 'x' is ''"),
        ({"id": "x", "vectors": _packed(np.eye(1, 16)), "metadata": []}, "metadata of document 'x' is []"),
    ],
)
def test_all_or_nothing(running: Running, row: Any, said: str) -> None:
    answer = _put(running, [{"id": "fine", "vectors": _packed(np.eye(1, 16))}, row])
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert running.client.get("/v1/documents/fine").status_code == 404
