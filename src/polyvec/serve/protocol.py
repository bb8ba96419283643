"""uvicorn's HTTP protocol, and a limit on the time that a request's head may take."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADERS_WITHIN_S = 10.0  # for the request line and all headers
_MOST_HEAD_BYTES = 1 << 16  # of a head that comes in several parts


def http_protocol() -> type[asyncio.Protocol]:
    """A protocol class on uvicorn's faster parser where that is installed, otherwise on its slower one."""
    base: Any = H11Protocol
    if importlib.util.find_spec("httptools") is not None:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        base = HttpToolsProtocol

    class Prompt(base):  # type: ignore[misc]
        """Closes a connection whose request head takes too long, for which uvicorn waits for ever, or is too large."""

        _headers_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._head_bytes = 0
                self._stop_timer()
                return
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self._head_bytes = 0
            super().on_response_complete()

        def _await_headers(self) -> None:
            if self._headers_timer is None:
                self._headers_timer = self.loop.call_later(_HEADERS_WITHIN_S, self.transport.close)

        def _stop_timer(self) -> None:
            if self._headers_timer is not None:
                self._headers_timer.cancel()
                self._headers_timer = None

    return Prompt
