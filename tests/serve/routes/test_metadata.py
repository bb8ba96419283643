"""PATCH /v1/documents changes metadata, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.conftest import Start
from tests.serve.running import Running


def _patch(running: Running, body: Any, **headers: str) -> Any:
    return running.client.patch("/v1/documents", json=body, headers=headers)


def test_fields_are_joined_and_removed(running: Running) -> None:
    (name,) = running.serving.collections
    before = running.client.get(f"/v1/collections/{name}").json()["fields"]
    answer = _patch(running, {"changes": [["bread", {"year": None, "kind": "food"}], ["bees-en", {"lang": "en"}]]})
    assert answer.status_code == 200
    assert answer.json()["changed"] == 1
    assert running.client.get("/v1/documents/bread").json()["metadata"] == {"lang": "en", "kind": "food"}
    after = running.client.get(f"/v1/collections/{name}").json()["fields"]
    assert {one["name"] for one in after} - {one["name"] for one in before} == {"kind"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"changes": [["none", {"a": 1}]]}, "'none' is not in the index"),
        ({"changes": [["bread", {"text": "x"}]]}, "Use update to replace the document"),
        ({"changes": [["bread", {"a": 1}], ["bread", {"a": 2}]]}, "comes twice"),
        ({"changes": [["bread", None]]}, "None removes a field"),
        ({"changes": [["bread"]]}, "expected a pair of an id and an object of fields"),
        ({"changes": {"bread": {"a": 1}}}, "changes: got one dict"),
        ({"changes": "bread"}, "changes: got one str"),
        ({}, "changes is missing"),
    ],
)
def test_all_or_nothing(running: Running, body: Any, said: str) -> None:
    answer = _patch(running, body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert running.client.get("/v1/documents/bread").json()["metadata"] == {"lang": "en", "year": 2010}


def test_who_may(start: Start) -> None:
    body = {"changes": [["bread", {"a": 1}]]}
    assert _patch(start(read_only=True), body).json()["type"] == "/docs#read-only"
    guarded = start(tokens=("read:reader-secret-0001", "write:writer-secret-0001"))
    assert _patch(guarded, body, authorization="Bearer reader-secret-0001").json()["type"] == "/docs#not-allowed"
    assert _patch(guarded, body, authorization="Bearer writer-secret-0001").status_code == 200
