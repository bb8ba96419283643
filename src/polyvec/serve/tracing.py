"""One OpenTelemetry span a request, where OpenTelemetry is installed and something collects its spans.

`opentelemetry-instrument polyvec serve ...` sets that up. Without it, nothing is traced and nothing is imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Tracing:
    """Begins spans; does nothing where nobody collects them.

    Args:
        tracer: What makes spans; None for OpenTelemetry's own where it has been set up.
    """

    def __init__(self, tracer: Any = None) -> None:
        self._tracer = _collecting_tracer() if tracer is None else tracer

    def span(self, method: str, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Any]:
        """A span to enter, within the trace that the client's headers name."""
        if self._tracer is None:
            return nullcontext()
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            method, context=extract(given), kind=SpanKind.SERVER
        )
        return span


def describe(span: Any, *, method: str, route: str, status: int, request_id: str) -> None:
    """What became of the request, on its span. span: None where nothing is traced."""
    if span is None:
        return
    span.update_name(f"{method} {route}")
    for name, value in (
        ("http.request.method", method),
        ("http.route", route),
        ("http.response.status_code", status),
        ("polyvec.request_id", request_id),
    ):
        span.set_attribute(name, value)


def _collecting_tracer() -> Any:
    """OpenTelemetry's tracer, None where it is not installed or keeps no spans."""
    if importlib.util.find_spec("opentelemetry") is None:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider.get_tracer("polyvec")
