"""POST /v1/multi-vector gives the vectors that the encoder makes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyvec
from tests.conftest import WordEncoder
from tests.serve.conftest import Start
from tests.serve.running import Running


@pytest.mark.parametrize("kind", ["query", "document"])
@pytest.mark.parametrize("form", ["float", "base64"])
def test_vectors_are_those_of_the_encoder(shared: Running, kind: str, form: str) -> None:
    texts = ["Bees dance", "bread"]
    asked = {"input": texts, "input_type": kind, "encoding_format": form}
    answer = shared.post("/v1/multi-vector", asked).json()
    encoder = WordEncoder()
    stream = encoder.stream_queries(texts) if kind == "query" else encoder.stream_documents(texts)
    for place, (one, encoded) in enumerate(zip(answer["data"], stream, strict=True)):
        found = one["embeddings"]
        if form == "base64":
            found = np.frombuffer(base64.b64decode(found), "<f2").reshape(-1, answer["dimensions"])
            assert np.array_equal(found, encoded.vectors.astype("<f2"))
        assert np.allclose(found, encoded.vectors, atol=1e-3)
        assert one["index"] == place
    assert answer["usage"] == {"total_tokens": 3}
    assert (answer["model"], answer["dimensions"]) == ("words", 16)


def test_another_head_of_the_model(tmp_path: Path, start: Start) -> None:
    encoder = polyvec.Encoder()
    server = start("default.polyvec", encoder=encoder, documents=[{"id": "1", "text": "bees"}])
    asked = {"input": ["Bienen tanzen"], "dimensions": 32, "encoding_format": "float"}
    answer = server.post("/v1/multi-vector", asked).json()
    expected = polyvec.Encoder(dim=32).encode_document(["Bienen tanzen"])[0]
    assert answer["dimensions"] == 32
    assert np.allclose(answer["data"][0]["embeddings"], expected, atol=1e-6)
    refused = server.post("/v1/multi-vector", {"input": ["a"], "dimensions": 33})
    assert refused.status_code == 422
    assert "33" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"input": "a"}, "input: got one str, expected a list of input. Wrap a single one in a list."),
        ({"input": []}, "input: got an empty list, expected at least one text."),
        ({"input": ["a", None]}, "input[1] is NoneType, not text: None. Give strings."),
        ({"input": ["a"], "input_type": "passage"}, "input_type='passage': expected one of query, document."),
        ({"input": ["a"], "encoding_format": "int8"}, "encoding_format='int8': expected one of float, base64."),
        ({"input": ["a"], "dimensions": 8}, "dimensions=8: this model has 16 dimensions and no others."),
        ({"input": ["a"], "dimensions": -1}, "dimensions=-1: expected a whole number of dimensions, at least 1."),
        ({"input": ["a"], "task": "x"}, "unknown field 'task'; expected some of model, input, input_type, dimensions, "
         "encoding_format, collection."),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_encoded(shared: Running, body: Any, sentence: str) -> None:
    answer = shared.post("/v1/multi-vector", body)
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
