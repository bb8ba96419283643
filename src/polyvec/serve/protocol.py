"""uvicorn's HTTP protocol, and a limit on the time that a request's head may take."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADERS_WITHIN_S = 10.0  # for the request line and all headers


def http_protocol() -> type[asyncio.Protocol]:
    """A protocol class on uvicorn's faster parser where that is installed, otherwise on its slower one."""
    base: Any = H11Protocol
    if importlib.util.find_spec("httptools") is not None:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        base = HttpToolsProtocol

    class Prompt(base):  # type: ignore[misc]
        """Closes a connection that does not send a whole request head in time; uvicorn waits for ever."""

        _headers_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._await_headers()
            else:
                self._stop_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _await_headers(self) -> None:
            if self._headers_timer is None:
                self._headers_timer = self.loop.call_later(_HEADERS_WITHIN_S, self.transport.close)

        def _stop_timer(self) -> None:
            if self._headers_timer is not None:
                self._headers_timer.cancel()
                self._headers_timer = None

    return Prompt
