"""How much of what clients send is held at once, in memory and on disk, however many of them there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from polyvec.serve.exchange import Exchange
from polyvec.serve.problems import Problem

_BODIES = 16  # of the largest size that fit at once
_UPLOADS = 8  # streams of documents that are received at once


class Room:
    """Counts bytes of bodies, and streams that go to disk. Used on the event loop alone."""

    def __init__(self, max_body: int) -> None:
        self.most_bytes = _BODIES * max_body
        self.held_bytes = self.uploads = 0

    def hold(self, exchange: Exchange, size: int) -> None:
        """Make room for so many bytes until the request is over. Raises Problem where there is none."""
        if self.held_bytes + size > self.most_bytes:
            raise _full("The bodies of other requests fill the memory that is set aside for them.")
        self.held_bytes += size
        exchange.held_bytes += size

    def let_go(self, exchange: Exchange) -> None:
        """The request is over."""
        self.held_bytes -= exchange.held_bytes
        exchange.held_bytes = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Receive a stream of documents inside. Raises Problem where too many are being received."""
        if self.uploads >= _UPLOADS:
            raise _full(f"{_UPLOADS} streams of documents are being received already, as many as are taken at once.")
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1


def _full(what: str) -> Problem:
    return Problem("queue-full", f"{what} Ask again later.", headers=[("retry-after", "1"), ("connection", "close")])
