"""A real server on a free port, in a thread or in a process of its own, and a client that speaks real HTTP to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from polyvec.serve.app import create_app
from polyvec.serve.collections import Collections
from polyvec.serve.config import ServeConfig
from polyvec.serve.lifecycle import Server, bind
from polyvec.serve.serving import Serving


class Running:
    """A server in a thread, and a client of it."""

    def __init__(self, collections: Collections, config: ServeConfig) -> None:
        listening = bind("127.0.0.1", 0)
        self.port: int = listening.getsockname()[1]
        self.app = create_app(collections, config)
        self.serving: Serving = self.app.serving
        self.server = Server(self.app, config)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        wait_for(lambda: self.client.get("/readyz").status_code == 200)

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        return self.client.post(path, content=json.dumps(body), headers=headers, **more)

    def search(self, query: Any, **more: Any) -> Any:
        answer = self.post("/v1/search", {"query": query, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def put(self, documents: Any, **parameters: str) -> httpx.Response:
        return self.client.put("/v1/documents", json=documents, params=parameters)

    def delete(self, body: Any) -> httpx.Response:
        return self.client.request("DELETE", "/v1/documents", json=body)

    def raw(self, data: bytes, *, timeout: float = 10.0) -> bytes:
        """Send bytes as they are, and read until the server closes or nothing comes any more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            with contextlib.suppress(ConnectionError):  # it may be refused before it is sent
                connection.sendall(data)
            return received(connection)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


def received(connection: socket.socket) -> bytes:
    """What comes until a whole answer is there, or the other side closes."""
    data = b""
    while True:
        try:
            part = connection.recv(1 << 16)
        except (ConnectionError, TimeoutError):
            return data
        data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if not part or (length and len(body) >= int(length[1])):
            return data


def wait_for(holds: Any, *, seconds: float = 20.0) -> None:
    """Until something holds; fails where it does not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


@contextlib.contextmanager
def process(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[ServerProcess]:
    """`polyvec serve` with these arguments, ready; killed at the end where it still runs."""
    server = ServerProcess(*arguments, environment=environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


class ServerProcess:
    """`polyvec serve` in a process of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "polyvec", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        self.url = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        while "http://" not in self.url:
            line = self.process.stdout.readline()
            assert line, "the server ended before it listened"
            self.url = line.split()[-1] if "http://" in line else ""
        wait_for(lambda: httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200, seconds=60)

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **more)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 40.0) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        """As kill -9 does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def write_documents(path: Path, documents: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in documents), encoding="utf-8")
    return path
