"""What Prometheus reads at /metrics: latency by route and by step, the queue, what was refused, and what is served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily

from polyvec.serve.pool import Pool
from polyvec.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from polyvec.serve.collections import Collections

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FACTS_FOR_S = 5.0  # facts about collections are read again after so long


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        at = self.registry
        self._requests = Histogram(
            "polyvec_request_seconds", "From the first byte of a request to the end of its answer.",
            ["route", "method", "status"], buckets=_SECONDS, registry=at,
        )  # fmt: skip
        self._steps = Histogram(
            "polyvec_step_seconds", "Time in one step: waiting, encoding, searching, writing.", ["step"],
            buckets=_SECONDS, registry=at,
        )  # fmt: skip
        self._refused = Counter("polyvec_refused", "Requests that were refused.", ["reason"], registry=at)
        self._children: dict[tuple[str, ...], Histogram] = {}
        self.in_flight = Gauge("polyvec_requests_in_flight", "Requests that are being answered.", registry=at)
        Gauge("polyvec_queue_places", "Requests that are accepted at once.", registry=at).set(pool.places)
        Gauge("polyvec_queue_held", "Accepted requests that wait or are worked on.", registry=at).set_function(
            lambda: pool.held
        )
        Info("polyvec", "The server.", registry=at).info({"version": __version__})

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request. route: the pattern of its path, never the path itself."""
        known = method if method in _METHODS else "other"  # a client may make up any number of them
        self._child(self._requests, route, known, str(status)).observe(seconds)

    def step(self, step: str, seconds: float) -> None:
        """Count one step of the work behind a request."""
        self._child(self._steps, step).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count one request that was refused, by the name of its problem."""
        self._refused.labels(reason).inc()

    def describe(self, collections: Collections) -> None:
        """Let the metrics say what the collections hold; read when somebody asks, at most every few seconds."""
        self.registry.register(_CollectionFacts(collections))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _child(self, metric: Histogram, *labels: str) -> Histogram:
        key = (str(id(metric)), *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


class _CollectionFacts:
    """Documents, segments, drift and size of each collection."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._read_at = -_FACTS_FOR_S
        self._facts: list[tuple[str, dict[str, float]]] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Their names, without reading anything."""
        return [GaugeMetricFamily(f"polyvec_{name}", text, labels=["collection"]) for name, text in _FACTS.items()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Their values."""
        if time.monotonic() - self._read_at >= _FACTS_FOR_S:
            self._facts = [(name, _facts_of(one.index.info())) for name, one in self._collections.items()]
            self._read_at = time.monotonic()
        for name, text in _FACTS.items():
            family = GaugeMetricFamily(f"polyvec_{name}", text, labels=["collection"])
            for collection, facts in self._facts:
                if name in facts:
                    family.add_metric([collection], facts[name])
            yield family


_FACTS = {
    "documents": "Documents of a collection.",
    "segments": "Segments of a collection.",
    "deleted_rows": "Rows that were deleted and not yet merged away.",
    "size_bytes": "Bytes that a collection takes on disk.",
    "codec_drift": "How far the collection has moved from what its codec was trained on.",
}


def _facts_of(info: dict[str, object]) -> dict[str, float]:
    found = {name: float(info[name]) for name in ("documents", "segments", "deleted_rows", "size_bytes")}  # type: ignore[arg-type]
    codec = info.get("codec")
    if isinstance(codec, dict) and isinstance(codec.get("drift"), int | float):
        found["codec_drift"] = float(codec["drift"])
    return found
