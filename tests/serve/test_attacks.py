"""Attacks, each with its answer. After all of them the server answers as before, and no answer holds a trace or a path."""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any

import pytest

from tests.serve.conftest import Start
from tests.serve.running import Running, received

HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


def posted(body: bytes, path: bytes = b"/v1/search", head: bytes = HEAD) -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def query(text: bytes) -> bytes:
    return posted(b'{"query": ' + text + b"}")


ATTACKS: dict[str, tuple[bytes, int]] = {
    # bodies
    "no body": (posted(b""), 400),
    "not JSON": (posted(b"query=bees"), 400),
    "cut JSON": (posted(b'{"query": "bees"'), 400),
    "two values": (posted(b'{"query": "bees"} {}'), 400),
    "NaN": (posted(b'{"query": "bees", "min_score": NaN}'), 400),
    "Infinity": (posted(b'{"query": "bees", "filter": {"year": -Infinity}}'), 400),
    "a number beyond floats": (posted(b'{"query": "bees", "min_score": 1e999}'), 422),
    "a number of many digits": (posted(b'{"query": "bees", "k": ' + b"9" * 5000 + b"}"), 400),
    "a huge k": (posted(b'{"query": "bees", "k": 99999999999999999999}'), 422),
    "bytes that are not UTF-8": (query(b'"\xff\xfe"'), 400),
    "UTF-16": (posted('{"query": "bees"}'.encode("utf-16")), 400),
    "a byte order mark": (posted(b'\xef\xbb\xbf{"query": "bees"}'), 400),
    "half a surrogate pair": (query(b'"\\ud800"'), 422),
    "a NUL in a question": (query(b'"bees\\u0000"'), 200),
    "a NUL in an id": (posted(b'{"ids": ["a\\u0000b"]}', b"/v1/documents/get"), 422),
    "deep lists": (query(b"[" * 100_000), 400),
    "deep lists that close": (query(b"[" * 100_000 + b"]" * 100_000), 400),
    "deep objects": (posted(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400),
    "a deep filter": (posted(b'{"query": "a", "filter": ' + b'{"$not":' * 500 + b"{}" + b"}" * 501), 422),
    "a wide filter": (
        posted(json.dumps({"query": "a", "filter": {"year": {"$in": list(range(100_001))}}}).encode()), 422,
    ),
    "unknown operator": (posted(b'{"query": "a", "filter": {"$where": "1"}}'), 422),
    "SQL in a field's name": (posted(b'{"query": "a", "filter": {"x\' OR 1=1 --": 1}}'), 200),
    "SQL in a value": (posted(b'{"query": "a", "filter": {"lang": "\'; DROP TABLE documents; --"}}'), 200),
    "FTS syntax": (posted(b'{"query": "bees\\" OR * NEAR(", "mode": "keyword"}'), 200),
    "wrong types everywhere": (posted(b'{"query": [[]], "k": {}, "filter": 5}'), 422),
    "a list for an object": (posted(b"[]"), 422),
    "a very long question": (query(b'"' + b"a" * 100_001 + b'"'), 422),
    "too many questions": (query(json.dumps(["a"] * 1001).encode()), 422),
    "too many texts to rerank": (posted(json.dumps({"query": "a", "documents": ["b"] * 1001}).encode(), b"/rerank"), 422),
    "a field of the prototype": (posted(b'{"query": "a", "__proto__": {}}'), 422),
    "a body that says it is large": (
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 999999999999\r\n\r\n", 413,
    ),
    "a large body": (posted(b'"' + b"a" * 8_000_001 + b'"'), 413),
    "a large body in parts": (
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"100000\r\n" + b"a" * 0x100000 + b"\r\n") * 9, 413,
    ),
    "compressed": (posted(b"\x1f\x8b", head=HEAD + b"Content-Encoding: gzip\r\n"), 400),
    # requests
    "two lengths": (b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length that is none": (b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: -5\r\n\r\n", 400),
    "length and parts": (
        b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400,
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "a long head": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n", 400),
    "a line break in a header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\x00b\r\n\r\n", 400),
    "no host": (b"GET /v1/collections HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /v1/collections HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
    "two hosts, the right one last": (
        b"GET /v1/collections HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n", 400,
    ),
    "another host": (b"GET /v1/collections HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    "another origin": (b"GET /v1/collections HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n", 403),
    "an upgrade": (
        b"GET /v1/search HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n", 405,
    ),
    "an unknown method": (b"PURGE /v1/search HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    # paths
    "up and out": (b"GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "up and out, encoded": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "up and out, twice encoded": (b"GET /%252e%252e%252fetc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "up and out of documents": (b"GET /v1/documents/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "another server's address": (b"GET http://evil.example/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a path that is not UTF-8": (b"GET /v1/documents/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a NUL in a path": (b"GET /v1/documents/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 422),
    "backslashes": (b"GET /..\\..\\etc\\passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "two slashes": (b"GET //v1//collections HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a collection elsewhere": (
        b"GET /v1/collections/..%2fother.polyvec HTTP/1.1\r\nHost: localhost\r\n\r\n", 404,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "status"), ATTACKS.values(), ids=ATTACKS)
def test_attack(shared: Running, data: bytes, status: int) -> None:
    answer = shared.raw(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    assert b"Traceback" not in answer
    assert str(shared.serving.collections.chosen(None).path).encode() not in answer
    assert b"root:" not in answer
    _goes_on(shared)


def test_token_guessing_is_refused_each_time_and_alike(start: Start) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    server = start(tokens=[f"read:{secret}"])
    guesses = [
        b"",
        b"a",
        secret[:-1].encode(),
        secret.upper().encode(),
        secret.encode() + b"\x00",
        b"\xff" * 40,
        b"a" * 30_000,
    ]
    for guess in guesses:
        answer = server.raw(
            b"GET /v1/collections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + guess + b"\r\n\r\n"
        )
        assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 ")), (guess[:20], answer[:200])
        assert secret.encode() not in answer
    assert b"200 OK" in server.raw(
        b"GET /v1/collections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret.encode() + b"\r\n\r\n"
    )


def test_a_body_that_does_not_come(start: Start) -> None:
    server = start(timeout=0.3)
    for head in (b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
        answer = server.raw(b"POST /v1/search HTTP/1.1\r\n" + HEAD + head)
        assert answer.startswith(b"HTTP/1.1 408 "), answer[:300]
    stream = b"PUT /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    answer = server.raw(stream + b'Content-Length: 100\r\n\r\n{"id": "a"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    _goes_on(server)


def test_bodies_that_come_byte_by_byte_hold_up_nobody(start: Start) -> None:
    server = start(timeout=3.0)
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v1/search HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n")
    for connection in slow:
        connection.sendall(b" ")
    _goes_on(server)
    answered, _, _ = select.select(slow, [], [], 0)
    assert answered == [], "a search was answered while all of them were still waited for"
    for connection in slow:
        assert received(connection).startswith(b"HTTP/1.1 408 ")
        connection.close()


def test_clients_that_go_away_at_any_moment(shared: Running) -> None:
    request = posted(json.dumps({"query": ["bees"] * 20, "explain": True}).encode())
    for cut in range(0, len(request), 7):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
            connection.sendall(request[:cut])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
            connection.sendall(request)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    _goes_on(shared)
    end = time.monotonic() + 20
    while shared.serving.pool.held and time.monotonic() < end:
        time.sleep(0.01)
    assert shared.serving.pool.held == 0, "every place is free again"


def test_many_requests_on_one_connection_at_once(shared: Running) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(one * 50)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 50:
            part = connection.recv(1 << 16)
            assert part
            data += part


def test_markup_stays_text(shared: Running) -> None:
    (found,) = shared.search("alert bees", k=1, subset=["markup"])
    assert found["hits"][0]["text"] == "<script>alert('bees')</script> & more"
    answer = shared.client.get("/v1/documents/markup")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def _goes_on(server: Running) -> None:
    found: Any = server.search("bread oven", k=1)
    assert found[0]["hits"][0]["id"] == "bread"
