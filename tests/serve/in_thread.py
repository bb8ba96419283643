"""A real server on a free port, in a thread of the test's own process."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn

from polyvec.serve.app import create_app
from polyvec.serve.collections import open_collections
from polyvec.serve.config import ServeConfig


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """The address where an application answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextlib.contextmanager
def served(paths: Sequence[str | os.PathLike[str]], *, encoder: Any = None, **settings: Any) -> Iterator[str]:
    """The address where collections are served; ready to search."""
    collections = open_collections(paths, encoder=encoder)
    with running(create_app(collections, ServeConfig(log_format="none", **settings))) as url:
        _wait_until_ready(url)
        yield url


def _wait_until_ready(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
