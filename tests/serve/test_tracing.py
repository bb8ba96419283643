"""Spans for whoever collects them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from polyvec.serve.tracing import Tracing
from tests.serve.running import Running, wait_for

pytest.importorskip("opentelemetry")


class Span:
    def __init__(self, name: str, context: Any) -> None:
        self.name, self.context, self.attributes = name, context, dict[str, Any]()

    def update_name(self, name: str) -> None:
        self.name = name

    def set_attribute(self, name: str, value: Any) -> None:
        self.attributes[name] = value


class Collecting:
    def __init__(self) -> None:
        self.spans: list[Span] = []

    @contextmanager
    def start_as_current_span(self, name: str, *, context: Any, kind: Any) -> Iterator[Span]:
        span = Span(name, context)
        yield span
        self.spans.append(span)


def test_nothing_is_traced_unless_somebody_collects(running: Running) -> None:
    with Tracing().span("GET", {}) as span:
        assert span is None


def test_one_span_a_request_within_the_clients_trace(running: Running) -> None:
    from opentelemetry.trace import get_current_span

    tracer = Collecting()
    running.app._tracing = Tracing(tracer)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    running.post("/v1/search", {"query": "a question"}, headers={"traceparent": parent, "x-request-id": "my-id"})
    wait_for(lambda: tracer.spans)
    (span,) = tracer.spans
    assert span.name == "POST /v1/search"
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/search",
        "http.response.status_code": 200,
        "polyvec.request_id": "my-id",
    }
    assert f"{get_current_span(span.context).get_span_context().trace_id:032x}" == parent.split("-")[1]
