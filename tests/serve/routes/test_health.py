"""Liveness, readiness and metrics."""

from __future__ import annotations

import re

from polyvec.version import __version__
from tests.serve.conftest import Start
from tests.serve.running import Running


def test_alive_and_ready(shared: Running) -> None:
    assert shared.client.get("/healthz").json() == {"status": "ok", "version": __version__}
    assert shared.client.get("/readyz").json() == {"status": "ready", "version": __version__}


def test_not_ready_before_the_first_question(running: Running) -> None:
    running.serving.ready = False
    answer = running.client.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "/docs#not-ready")


def test_metrics_count_what_happened(start: Start) -> None:
    server = start()
    for _ in range(3):
        server.search("bees")
    server.post("/v1/search", {"query": ""})
    server.client.get("/v1/documents/secret-id")
    text = server.client.get("/metrics").text
    assert 'polyvec_request_seconds_count{method="POST",route="/v1/search",status="200"} 3.0' in text
    assert 'polyvec_request_seconds_count{method="POST",route="/v1/search",status="422"} 1.0' in text
    assert 'polyvec_documents{collection="wiki.polyvec"} 6.0' in text
    assert re.search(r'polyvec_step_seconds_count\{step="encode"\} [1-9]', text)
    assert f'polyvec_info{{version="{__version__}"}} 1.0' in text
    for n in range(5):
        server.client.request(f"MADEUP{n}", f"/made/up/{n}")
    text = server.client.get("/metrics").text
    assert "MADEUP" not in text
    assert "/made/up" not in text, "a client cannot make the metrics grow"
    assert "secret-id" not in text, "paths are told by their pattern alone"
    assert "polyvec_queue_held 0.0" in text
