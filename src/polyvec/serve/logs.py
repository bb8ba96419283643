"""One line a request: which call, by which token, how it ended, how long it took; no question, text or path of this machine."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyvec.serve.config import LogFormat
    from polyvec.serve.exchange import Exchange

logger = logging.getLogger("polyvec.serve")


class RequestLog:
    """Writes to stderr; a line that cannot be written is dropped."""

    def __init__(self, form: LogFormat) -> None:
        self._form = form

    def write(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Say what became of one request."""
        if self._form == "none":
            return
        fields = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "request_id": exchange.request_id,
            "client": exchange.client,
            "token": exchange.token or None,
            "method": exchange.method,
            "route": exchange.route,
            "status": status,
            "problem": exchange.problem and exchange.problem.name,
            "took_ms": round(1000 * seconds, 2),
            "bytes": exchange.bytes_out,
        }
        if self._form == "json":
            line = json.dumps({name: value for name, value in fields.items() if value is not None})
        else:
            line = " ".join(str(value) for value in fields.values() if value is not None)
        _print(line)

    def fault(self, exchange: Exchange, error: BaseException) -> None:
        """Say why a request failed for no fault of the client: for whoever runs the server, with the trace."""
        logger.error("request %s failed: %s", exchange.request_id, type(error).__name__, exc_info=error)


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed, full or broken: nothing is left to say it on
        sys.stderr.write(line + "\n")
