"""However many clients there are, what they send takes bounded room."""

from __future__ import annotations

import json
import socket

import httpx

from tests.serve.conftest import Start
from tests.serve.running import received, wait_for

HEAD = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_bodies_of_many_clients_fill_no_more_than_is_set_aside(start: Start) -> None:
    server = start(max_body=10_000)
    body = json.dumps({"query": "x" * 9_900}).encode()
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(40)]
    for connection in slow:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
    wait_for(lambda: server.serving.room.held_bytes > 140_000)
    assert server.serving.room.held_bytes <= 160_000
    answers = []
    for connection in slow:
        connection.sendall(body[-1:])
        answers.append(received(connection).split(b" ")[1])
        connection.close()
    assert {b"200", b"429"} == set(answers)
    assert answers.count(b"200") <= 16
    wait_for(lambda: server.serving.room.held_bytes == 0)
    assert server.search("bees")


def test_so_many_streams_are_received_at_once(start: Start) -> None:
    server = start()
    head = b"PUT /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(8)]
    for connection in slow:
        connection.sendall(head + b" ")
    wait_for(lambda: server.serving.room.uploads == 8)
    answer: httpx.Response = server.client.put(
        "/v1/documents", content=b'{"id": "a", "text": "x"}\n', headers={"content-type": "application/x-ndjson"}
    )
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    for connection in slow:
        connection.close()
    wait_for(lambda: server.serving.room.uploads == 0)
    assert server.put([{"id": "a", "text": "x"}]).status_code == 200
