"""One line a request, and nothing in it that a question or a document says."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests.serve.conftest import Start
from tests.serve.running import wait_for


def _catch_stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to stderr from now on, from any thread: reading it takes nothing away, as reading a capture does."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_json_lines(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    written = _catch_stderr(monkeypatch)
    secret = "secret-0123456789abcdef"
    server = start(log_format="json", tokens=[f"write:{secret}"])
    headers = {"authorization": f"Bearer {secret}", "x-request-id": "my-id"}
    server.post("/v1/search", {"query": "a question about bees"}, headers=headers)
    server.client.get("/v1/documents/private-id", headers=headers)
    server.client.get("/v1/collections", headers={"authorization": "Bearer guess"})
    wait_for(lambda: written.getvalue().count('"/v1/') >= 2 and "no-token" in written.getvalue())
    printed = written.getvalue()
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    (search,) = [line for line in lines if line["route"] == "/v1/search"]
    assert (search["request_id"], search["method"], search["status"], search["token"]) == (
        "my-id",
        "POST",
        200,
        "token-0",
    )
    assert search["took_ms"] > 0
    assert search["bytes"] > 100
    (missing,) = [line for line in lines if line.get("problem") == "no-document"]
    assert missing["route"] == "/v1/documents/{id:path}"
    for private in ("bees", "private-id", secret, "guess", str(server.serving.collections.chosen(None).path)):
        assert private not in printed


def test_lines_for_people(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    written = _catch_stderr(monkeypatch)
    server = start(log_format="text")
    server.search("bees")
    wait_for(lambda: "POST /v1/search 200" in written.getvalue())
