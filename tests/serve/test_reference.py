"""The page at /docs: everything that is described, and nothing from elsewhere."""

from __future__ import annotations

import re

from polyvec.serve.problems import KINDS
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
