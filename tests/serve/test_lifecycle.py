"""A server that is told to stop finishes what it has; one that is killed has kept what it acknowledged."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import polyvec
from polyvec.encoder import Encoded
from polyvec.errors import InputError
from polyvec.serve.config import ServeConfig
from polyvec.serve.lifecycle import address_of, bind, check_guarded
from tests.conftest import WordEncoder
from tests.serve.conftest import Start
from tests.serve.running import process, received, wait_for


class Held(WordEncoder):
    """Encodes documents only when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def stream_documents(self, texts: Any, *, progress: Callable[[int], None] | None = None) -> Iterator[Encoded]:
        given = list(texts)
        if given and given[0].startswith("held"):
            self.begun.set()
            self.go.wait(30)
        return super().stream_documents(given)


def test_what_was_accepted_is_finished_and_the_rest_is_refused(start: Start) -> None:
    model = Held()
    server = start(encoder=model)
    answers: list[httpx.Response] = []
    rerank = {"query": "a", "documents": ["held text"]}
    asking = threading.Thread(target=lambda: answers.append(server.post("/v1/rerank", rerank)))
    asking.start()
    assert model.begun.wait(20)
    server.server.handle_exit(signal.SIGTERM, None)
    refused = server.post("/v1/search", {"query": "a"})
    assert (refused.status_code, refused.json()["type"]) == (503, "/docs#stopping")
    assert "retry-after" in refused.headers
    assert server.client.get("/readyz").status_code == 503
    assert server.client.get("/healthz").status_code == 200
    model.go.set()
    asking.join(20)
    assert answers[0].status_code == 200
    wait_for(lambda: server.server.should_exit)


def test_sigterm_ends_the_process_well_and_the_next_one_has_all(tmp_path: Path) -> None:
    path = _index(tmp_path)
    with process(str(path), "--port", "0") as server:
        with server.client() as client:
            assert client.put("/v1/documents", json=[{"id": "new", "text": "zebra"}]).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    with polyvec.Index.open(path) as index:
        assert "new" in index
        assert index.verify() == []
        index.add([{"id": "newer", "text": "the lock is free"}])


@pytest.mark.parametrize("streamed", [False, True])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, streamed: bool) -> None:
    path = _index(tmp_path)
    acknowledged: list[str] = []
    with process(str(path), "--port", "0") as server:
        ended = threading.Event()

        def write() -> None:
            with server.client() as client:
                for n in range(10_000):
                    ids = [f"{n}-{m}" for m in range(3)]
                    documents = [{"id": one, "text": f"document {one}"} for one in ids]
                    body = "".join(json.dumps(one) + "\n" for one in documents) if streamed else json.dumps(documents)
                    kind = "application/x-ndjson" if streamed else "application/json"
                    try:
                        answer = client.put("/v1/documents", content=body, headers={"content-type": kind})
                    except httpx.TransportError:
                        break
                    assert answer.status_code == 200
                    acknowledged.extend(ids)
            ended.set()

        threading.Thread(target=write).start()
        wait_for(lambda: len(acknowledged) >= 15)
        server.kill()
        assert ended.wait(30)
    with polyvec.Index.open(path) as index:
        assert index.verify() == []
        assert all(one is not None for one in index.get(acknowledged))
        assert (len(index) - 1) % 3 == 0, "a request is stored whole or not at all"


def test_a_head_that_does_not_come_is_cut_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvec.serve.protocol._HEADERS_WITHIN_S", 0.3)
    server = start()
    for opening in (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(opening)
            assert connection.recv(1000) == b"", "closed before this side gives up"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request)
        assert b"200 OK" in received(connection)
        connection.sendall(request[:10])
        assert connection.recv(1000) == b"", "the second request of a connection has as long"


def test_other_addresses_need_tokens_or_a_word() -> None:
    with pytest.raises(InputError, match="open to other machines, and there are no tokens"):
        check_guarded(ServeConfig(host="0.0.0.0"))
    check_guarded(ServeConfig(host="0.0.0.0", anonymous=True))
    check_guarded(ServeConfig(host="0.0.0.0", tokens=("read:0123456789abcdef",)))
    check_guarded(ServeConfig(host="127.0.0.1"))


def test_addresses() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert address_of("127.0.0.1", first) == f"http://127.0.0.1:{port}"
        assert address_of("::1", first) == f"http://[::1]:{port}"
        with pytest.raises(InputError, match=f"port {port}: Address already in use"):
            bind("127.0.0.1", port)
    with pytest.raises(InputError, match=r"Cannot listen at 203\.0\.113\.1"):
        bind("203.0.113.1", 0)


def _index(folder: Path) -> Path:
    path = folder / "wiki.polyvec"
    with polyvec.Index.create(path, encoder=polyvec.Encoder()) as index:
        index.add([{"id": "one", "text": "Bees dance."}])
    return path
