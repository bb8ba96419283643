"""A server's life: it binds, answers, and when it is told to stop it finishes what it has accepted.

The first SIGTERM or SIGINT ends the taking of new work, which is refused with 503; a second SIGINT ends everything at once.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from polyvec.errors import InputError
from polyvec.serve.app import create_app
from polyvec.serve.collections import Collections
from polyvec.serve.config import ServeConfig
from polyvec.serve.guard import Guard
from polyvec.serve.protocol import http_protocol
from polyvec.serve.serving import Serving

_IDLE_S = 65.0  # that a connection stays open between requests; proxies close theirs after 60
_SWITCH_S = 0.0005  # that a thread keeps the interpreter while others wait for it


def run_server(
    collections: Collections, config: ServeConfig, *, started: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until a signal says to stop. Closes the collections.

    Args:
        collections: What is served.
        config: How.
        started: Called with the address, once it is listened at.

    Raises:
        InputError: The address cannot be listened at, or it is open to others and no token guards it.
    """
    try:
        check_guarded(config)
        app = create_app(collections, config)
        listening = bind(config.host, config.port)
    except BaseException:
        collections.close()
        raise
    sys.setswitchinterval(_SWITCH_S)
    started(address_of(config.host, listening))
    Server(app, config).run(sockets=[listening])


def check_guarded(config: ServeConfig) -> None:
    """Raise InputError for an address that other machines reach, without tokens and without --anonymous."""
    if not (config.on_loopback or config.token_file or config.tokens or config.anonymous):
        raise InputError(
            f"host={config.host!r} is open to other machines, and there are no tokens. Give --token-file, or say --anonymous "
            "where everybody may search and write; --read-only leaves searching."
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError where the address is taken or none of this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)  # with its protocol: asyncio then turns Nagle's delay off
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except BaseException:
            listening.close()
            raise
        return listening
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"Cannot listen at {host} port {port}: {reason}. Choose another --host or --port.") from error


def address_of(host: str, listening: socket.socket) -> str:
    """The address to type into a browser."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


class Server(uvicorn.Server):
    """uvicorn's server, which goes on answering while it finishes."""

    def __init__(self, app: Guard, config: ServeConfig) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=http_protocol(),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=config.max_connections,
                timeout_keep_alive=int(_IDLE_S),
                timeout_graceful_shutdown=1,
            )
        )
        self.serving: Serving = app.serving
        self._stop_within_s = config.stop_timeout
        self._stop_by = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take nothing new; the ticks below see when the rest is done."""
        if self.serving.stopping and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        elif not self.serving.stopping:
            self._stop_by = time.monotonic() + self._stop_within_s
            self.serving.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self.serving.stopping and (not self.serving.in_flight or time.monotonic() > self._stop_by):
            self.should_exit = True
        return await super().on_tick(counter)
