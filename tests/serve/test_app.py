"""The application as a whole: its description, and problems as RFC 9457 has them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from polyvec.serve.problems import KINDS
from tests.serve.conftest import Start
from tests.serve.running import Running, wait_for


def test_description_is_openapi_with_examples(shared: Running) -> None:
    described = shared.client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    schemas = described["components"]["schemas"]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["description"], path
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = (body.get("$ref") or body.get("items", {}).get("$ref", "")).rpartition("/")[2]
            assert not name or schemas[name]["examples"], f"{method} {path} has no example"
    text = str(described)
    references = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()


def test_examples_work(running: Running) -> None:
    schemas = running.client.get("/openapi.json").json()["components"]["schemas"]
    for path, name in (("/v1/search", "SearchRequest"), ("/v1/rerank", "RerankRequest"), ("/v1/multi-vector", "VectorsRequest"),
                       ("/v1/documents/get", "GetRequest")):  # fmt: skip
        for example in schemas[name]["examples"]:
            answer = running.post(path, example)
            assert answer.status_code == 200, answer.text
    for example in schemas["DeleteRequest"]["examples"]:
        assert running.delete(example).status_code == 200
    assert running.put(schemas["GivenDocument"]["examples"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nowhere", 404, "no-route"),
        ("GET", "/v1", 404, "no-route"),
        ("GET", "/v1/search/", 404, "no-route"),
        ("GET", "/v1/search", 405, "wrong-method"),
        ("POST", "/v1/documents", 405, "wrong-method"),
        ("TRACE", "/v1/search", 405, "wrong-method"),
        ("GET", "/v1/documents/none", 404, "no-document"),
        ("GET", "/v1/collections/none", 404, "no-collection"),
        ("POST", "/v1/search", 415, "media-type"),
    ],
)
def test_problems(shared: Running, method: str, path: str, status: int, name: str) -> None:
    answer = shared.client.request(method, path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/docs#{name}")
    assert problem["title"] == KINDS[name].title
    assert problem["what_to_do"] == KINDS[name].meaning
    assert problem["detail"]
    if status == 405:
        assert answer.headers["allow"]


def test_a_wrong_method_is_told_all_the_right_ones(shared: Running) -> None:
    assert shared.client.post("/v1/documents").headers["allow"] == "DELETE, PATCH, PUT"
    assert shared.client.post("/v1/documents/x").headers["allow"] == "GET"
    assert shared.client.put("/v1/documents/get").headers["allow"] == "POST"


def test_a_fault_is_told_to_the_log_alone(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()

    def broken(*given: Any, **more: Any) -> Any:
        raise RuntimeError("secret /path of the server")

    monkeypatch.setattr(server.serving.collections.chosen(None).index, "search", broken)
    with caplog.at_level(logging.ERROR, "polyvec.serve"):
        answer = server.post("/v1/search", {"query": "bees"})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (500, "/docs#fault")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    wait_for(lambda: problem["request_id"] in caplog.text)
    assert "secret /path of the server" in caplog.text, "with its trace"
    assert server.client.get("/v1/collections").status_code == 200


def test_a_deadline_is_a_504(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    server = start(timeout=0.2, threads=1)
    index = server.serving.collections.chosen(None).index
    search, asked = index.search, []

    def slow(text: str, **more: Any) -> Any:
        asked.append(text)
        time.sleep(0.15)
        return search(text, **more)

    monkeypatch.setattr(index, "search", slow)
    answer = server.post("/v1/search", {"query": [f"q{n}" for n in range(100)]})
    assert (answer.status_code, answer.json()["type"]) == (504, "/docs#timed-out")
    time.sleep(0.5)
    assert len(asked) <= 3, "the rest of the work was dropped"
    assert server.serving.pool.held == 0
