"""One request and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from polyvec.serve.problems import Problem

_LONGEST_ID = 128  # characters of a client's own request id


class Exchange:
    """One request and what became of it, for its log line and for handlers."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.scope = scope
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client = scope["client"][0] if scope.get("client") else "-"
        self.status = self.bytes_out = 0
        self.token = ""
        self.problem: Problem | None = None
        self.error: Exception | None = None  # behind a problem that is no fault of the client
        self.gone = False
        self.held_bytes = 0  # of its body, in memory
        given = self.headers.get(b"x-request-id", b"")
        plain = 0 < len(given) <= _LONGEST_ID and all(33 <= byte <= 126 for byte in given)
        self.request_id = given.decode("ascii") if plain else secrets.token_hex(8)

    @property
    def route(self) -> str:
        """The pattern of the path, never the path itself."""
        route = self.scope.get("route")
        return getattr(route, "path", None) or ("/mcp" if self.path.startswith("/mcp") else "other")

    def failed(self, problem: Problem, error: Exception) -> None:
        """Keep what it ended in, for the log and the metrics."""
        self.problem = problem
        if problem.name in ("fault", "unusable", "damaged"):
            self.error = error
