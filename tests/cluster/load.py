"""Clients that ask a server without pause, and hold every answer against what it has to be."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

Hits = tuple[tuple[str, float], ...]


@dataclass
class Tally:
    """What became of the questions. waits_s: of every answer · failures: what was said, and how often."""

    asked: int = 0
    right: int = 0
    wrong: int = 0
    failed: int = 0
    partial: int = 0
    by_version: Counter[int] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def wait_s(self, share: float) -> float:
        """The wait that so large a share of answers did not exceed."""
        ordered = sorted(self.waits_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def summary(self) -> dict[str, Any]:
        return {
            "asked": self.asked, "right": self.right, "wrong": self.wrong, "failed": self.failed, "partial": self.partial,
            "by_version": dict(self.by_version), "failures": dict(self.failures),
            "p50_ms": round(1000 * self.wait_s(0.5), 1), "p99_ms": round(1000 * self.wait_s(0.99), 1),
            "longest_ms": round(1000 * max(self.waits_s), 1),
        }  # fmt: skip


class Load:
    """Asks questions in several threads for as long as the block lasts.

    Args:
        url: Of the server.
        bodies: What is sent to /v1/search, by name.
        expected: For each version, the hits of each name.
        clients: Threads.
        pause_s: Between two questions of one client.
    """

    def __init__(
        self,
        url: str,
        bodies: Mapping[str, Mapping[str, Any]],
        expected: Sequence[Mapping[str, Hits]],
        *,
        clients: int = 2,
        pause_s: float = 0.02,
    ) -> None:
        self.tally = Tally()
        self._url, self._bodies, self._expected, self._pause_s = url, bodies, expected, pause_s
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Tally:
        for thread in self._threads:
            thread.start()
        return self.tally

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        names = list(self._bodies)
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            while not self._ended.is_set():
                number += 1
                name = names[number % len(names)]
                began = time.perf_counter()
                try:
                    answer = client.post("/v1/search", json=self._bodies[name])
                    failure = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    failure = f"{type(error).__name__}: {error}"
                seconds = time.perf_counter() - began
                with self._lock:
                    self._count(name, failure, {} if failure else answer.json(), seconds)
                time.sleep(self._pause_s)

    def _count(self, name: str, failure: str, answer: dict[str, Any], seconds: float) -> None:
        tally = self.tally
        tally.asked += 1
        tally.waits_s.append(seconds)
        if failure:
            tally.failed += 1
            tally.failures[failure] += 1
            return
        if answer["partial"]:
            tally.partial += 1
            return
        hits = tuple((hit["id"], hit["score"]) for hit in answer["results"][0]["hits"])
        versions = [number for number, one in enumerate(self._expected) if one[name] == hits]
        tally.right += bool(versions)
        tally.wrong += not versions
        tally.by_version.update(versions[:1])
