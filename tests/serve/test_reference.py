"""The page at /docs: everything that is described, and nothing from elsewhere."""

from __future__ import annotations

import re
from html import unescape

import pytest
from pydantic import BaseModel

from polyvec.serve.problems import KINDS
from polyvec.serve.schemas import RerankAnswer, SearchAnswer, Stored, VectorsAnswer
from tests.serve.running import Running


def test_every_call_and_every_problem_is_there(shared: Running) -> None:
    page = shared.client.get("/docs").text
    for path in shared.client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    for name in KINDS:
        assert f'id="{name}"' in page


def test_it_needs_nothing_else(shared: Running) -> None:
    page = shared.client.get("/docs").text
    assert "<script" not in page
    assert "style=" not in page
    loaded = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    assert loaded == {"/docs.css", "/openapi.json"}
    for path in loaded:
        assert shared.client.get(path).status_code == 200


def test_types_and_bodies_are_written_as_a_client_sends_them(shared: Running) -> None:
    page = unescape(shared.client.get("/docs").text)
    assert "list of string or integer" in page
    assert "['" not in page
    vectors = page.partition('id="put-v1-vectors"')[2].partition("</section>")[0]
    assert "application/x-ndjson" in vectors
    assert '"vectors": "' in vectors


def test_every_field_is_described_and_every_body_has_an_example(shared: Running) -> None:
    described = shared.client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, value in schema.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value  # what it refers to is described
    ] == []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                named = schemas.get(body["schema"].get("$ref", "").rpartition("/")[2], {})
                assert "example" in body or "examples" in named, (method, path, kind)


@pytest.mark.parametrize("answer", [SearchAnswer, RerankAnswer, VectorsAnswer, Stored])
def test_an_answer_is_shown_as_it_comes(shared: Running, answer: type[BaseModel]) -> None:
    described = shared.client.get("/openapi.json").json()["components"]["schemas"][answer.__name__]
    (example,) = described["examples"]
    assert answer.model_validate(example).model_dump(exclude_unset=True) == example
    assert described["required"] == [name for name in described["properties"] if name in example]
