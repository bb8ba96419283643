"""One request and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import MutableMapping
from typing import Any

_LONGEST_ID = 128  # characters of a client's own request id


class Exchange:
    """One request and what became of it, for its log line and for handlers."""

    __slots__ = ("bytes_out", "client", "gone", "headers", "method", "path", "problem", "request_id", "scope", "started",
                 "status", "token")  # fmt: skip

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.scope = scope
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client = scope["client"][0] if scope.get("client") else "-"
        self.status = self.bytes_out = 0
        self.problem = self.token = ""
        self.gone = False
        given = self.headers.get(b"x-request-id", b"")
        plain = 0 < len(given) <= _LONGEST_ID and all(33 <= byte <= 126 for byte in given)
        self.request_id = given.decode("ascii") if plain else secrets.token_hex(8)

    @property
    def route(self) -> str:
        """The pattern of the path, never the path itself."""
        route = self.scope.get("route")
        return getattr(route, "path", None) or ("/mcp" if self.path.startswith("/mcp") else "other")
