"""Who is let in: hosts, origins, tokens; and what every answer carries."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from polyvec.serve import app
from tests.serve.conftest import Start
from tests.serve.running import Running

READ, WRITE = "read-secret-0123456789", "write-secret-0123456789"
JSON = {"content-type": "application/json"}


@pytest.fixture
def guarded(start: Start) -> Running:
    return start(tokens=[f"read:{READ}", f"write:{WRITE}"])


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


CALLS = [
    ("POST", "/v1/search", b'{"query": "bees"}', "read"),
    ("POST", "/v1/rerank", b'{"query": "bees", "documents": ["a"]}', "read"),
    ("POST", "/rerank", b'{"query": "bees", "documents": ["a"]}', "read"),
    ("POST", "/v2/rerank", b'{"query": "bees", "documents": ["a"]}', "read"),
    ("POST", "/v1/multi-vector", b'{"input": ["a"]}', "read"),
    ("POST", "/v1/documents/get", b'{"ids": []}', "read"),
    ("GET", "/v1/documents/bread", b"", "read"),
    ("GET", "/v1/collections", b"", "read"),
    ("GET", "/v1/collections/wiki", b"", "read"),
    ("GET", "/metrics", b"", "read"),
    ("POST", "/v1/search-vectors", b'{"vectors": []}', "read"),
    (
        "POST",
        "/v1/explain",
        b'{"query": "bees", "hit": {"id": "bread", "text": "Bread is baked in an oven.", "metadata": {}}}',
        "read",
    ),
    ("POST", "/v1/documents/scan", b"{}", "read"),
    ("GET", "/v1/collections/wiki/fields", b"", "read"),
    ("PATCH", "/v1/documents", b'{"changes": []}', "write"),
    ("PUT", "/v1/vectors", b"", "write"),
    ("PUT", "/v1/documents", b"[]", "write"),
    ("DELETE", "/v1/documents", b'{"ids": []}', "write"),
]


@pytest.mark.parametrize(("method", "path", "body", "rights"), CALLS, ids=[f"{c[0]} {c[1]}" for c in CALLS])
def test_every_call_needs_its_rights(guarded: Running, method: str, path: str, body: bytes, rights: str) -> None:
    def status(headers: dict[str, str]) -> int:
        kind = {"content-type": "application/x-ndjson"} if path == "/v1/vectors" else JSON
        return guarded.client.request(method, path, content=body, headers={**kind, **headers}).status_code

    assert (
        status({})
        == status(bearer("guess"))
        == status({"authorization": "Bearer"})
        == status({"authorization": f"Basic {READ}"})
        == 401
    )
    assert status(bearer(READ)) == (200 if rights == "read" else 403)
    assert status(bearer(WRITE)) == 200


def test_calls_without_data_need_no_token(guarded: Running) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs.css"):
        assert guarded.client.get(path).status_code == 200


def test_the_answer_says_what_is_missing(guarded: Running) -> None:
    answer = guarded.client.get("/v1/collections")
    assert answer.headers["www-authenticate"] == 'Bearer realm="polyvec"'
    assert answer.json()["detail"] == "The token is missing. Send it in the header `Authorization: Bearer TOKEN`."
    answer = guarded.client.get("/v1/collections", headers=bearer("guess"))
    assert answer.json()["detail"].startswith("The token is not one of this server's.")


def test_no_call_is_forgotten() -> None:
    """Whatever is routed below /v1, /v2 and /rerank stands in the table above."""
    routes = [
        (method, route.path.replace("{id:path}", "bread").replace("{name}", "wiki"))
        for router in app._ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path.startswith(("/v1", "/v2", "/rerank"))
        for method in route.methods or ()
    ]
    assert {(method, path) for method, path, _, _ in CALLS if path != "/metrics"} == set(routes)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:1", True),
        ("[::1]:8000", True),
        ("LOCALHOST.", True),
        ("search.example", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example#localhost", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_the_host_header_on_loopback(start: Start, host: str, allowed: bool) -> None:
    server = start(allowed_host=["search.example"])
    answer = server.raw(f"GET /v1/collections HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (b" 200 OK" in answer) == allowed
    if not allowed:
        assert b" 403 " in answer or b" 400 " in answer


def test_web_pages_of_other_origins_may_not_ask(start: Start) -> None:
    server = start(cors_origin=["https://app.example"])
    own = f"http://127.0.0.1:{server.port}"
    for origin, status in ((own, 200), ("https://app.example", 200), ("https://evil.example", 403), ("null", 403)):
        answer = server.client.get("/v1/collections", headers={"origin": origin})
        assert answer.status_code == status, origin
        assert ("access-control-allow-origin" in answer.headers) == (origin == "https://app.example")
    preflight = {"access-control-request-method": "PUT"}
    allowed = server.client.options("/v1/documents", headers={"origin": "https://app.example", **preflight})
    assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (
        204,
        "GET, POST, PUT, PATCH, DELETE",
    )
    refused = server.client.options("/v1/documents", headers={"origin": "https://evil.example", **preflight})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


def test_no_origin_is_allowed_by_default(shared: Running) -> None:
    answer = shared.client.get("/v1/collections", headers={"origin": "https://app.example"})
    assert answer.status_code == 403


def test_a_form_of_another_page_cannot_write(shared: Running) -> None:
    """Browsers send these three types without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = shared.client.post("/v1/search", content=b'{"query": "a"}', headers={"content-type": kind})
        assert answer.status_code == 415


def test_security_headers(shared: Running) -> None:
    for path in ("/docs", "/v1/collections", "/nowhere", "/healthz"):
        headers = shared.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
    assert shared.client.get("/v1/collections").headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_request_ids_pass_through(shared: Running) -> None:
    assert shared.client.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for odd in ("a b", "x" * 129, "ä"):
        given = shared.client.get("/nowhere", headers={"x-request-id": odd.encode("latin-1")})
        assert len(given.headers["x-request-id"]) == 16
        assert given.json()["request_id"] == given.headers["x-request-id"]
