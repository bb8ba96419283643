"""What every request passes first and last: the Host header, the origin, the token, the queue; security headers, the log line.

An ASGI application around the application. It answers by itself what must not reach a handler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from polyvec.serve.bodies import ClientGoneError
from polyvec.serve.exchange import Exchange
from polyvec.serve.logs import RequestLog
from polyvec.serve.problems import MEDIA_TYPE, Problem
from polyvec.serve.serving import Serving, queue_full
from polyvec.serve.tracing import Tracing, describe

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = Callable[[Request, Exception], Awaitable[Response]]

_OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs")  # and the page: no data of a collection
_GUARDED = ("/v1/", "/v2/", "/rerank", "/metrics", "/mcp")
_SEARCHES = frozenset(
    {
        "/v1/search", "/v1/search-vectors", "/v1/explain", "/v1/rerank", "/rerank", "/v2/rerank", "/v1/multi-vector",
        "/v1/documents/get", "/v1/documents/scan",
    }
)  # fmt: skip
_WRITES = frozenset({"PUT", "PATCH", "DELETE"})

_LARGE = 1 << 16  # bytes that the system surely takes at once
_READ_WITHIN_S = 30.0  # that a client has to read a large answer

_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    b"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """The application as the network sees it."""

    def __init__(
        self, app: FastAPI, serving: Serving, *, direct: Mapping[tuple[str, str], APIRoute], answer: Answer
    ) -> None:
        self._app, self.serving, self._direct, self._answer_error = app, serving, direct, answer
        config = serving.config
        self._hosts = _host_names(config.host, config.allowed_host, loopback=config.on_loopback)
        self._origins = frozenset(one.rstrip("/").encode() for one in config.cors_origin)
        self._log, self._tracing = RequestLog(config.log_format), Tracing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is no HTTP request goes to the application, and web sockets nowhere."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        exchange = Exchange(scope)
        scope["polyvec.exchange"] = exchange
        sender = _sender(exchange, send, self._extra_headers(exchange))
        serving = self.serving
        serving.in_flight += 1
        try:
            with self._tracing.span(exchange.method, exchange.headers) as span:
                await self._answer(exchange, scope, receive, sender)
                describe(
                    span, method=exchange.method, route=exchange.route, status=exchange.status,
                    request_id=exchange.request_id,
                )  # fmt: skip
        finally:
            serving.in_flight -= 1
            serving.room.let_go(exchange)
            self._note(exchange)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._direct.get((exchange.method, exchange.path))
        if route is not None:
            scope["route"] = route
        try:
            if exchange.method == "OPTIONS" and self._is_preflight(exchange):
                await _respond(send, 204, b"", [])
                return
            self._check(exchange)
        except Problem as problem:
            exchange.failed(problem, problem)
            headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in problem.headers]
            headers.append((b"content-type", MEDIA_TYPE.encode()))
            await _respond(send, problem.kind.status, problem.body(exchange.request_id), headers)
            return
        try:
            if route is None:
                await self._app(scope, receive, send)
            else:
                await self._call(route, scope, receive, send)
        except Exception as error:  # it has been answered as a fault, or the answer broke off
            exchange.error = exchange.error or error

    async def _call(self, route: APIRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """One handler, as the framework would call it."""
        scope["app"] = self._app
        request = Request(scope, receive)
        response: Response
        try:
            response = await route.endpoint(request)
        except ClientGoneError:
            scope["polyvec.exchange"].gone = True
            return
        except Exception as error:
            response = await self._answer_error(request, error)
        await response(scope, receive, send)

    def _note(self, exchange: Exchange) -> None:
        """Count and log what became of a request."""
        seconds = time.perf_counter() - exchange.started
        status = 499 if exchange.gone else exchange.status
        self.serving.metrics.request(exchange.route, exchange.method, status, seconds)
        if exchange.problem is not None and status in (429, 503):
            self.serving.metrics.refused(exchange.problem.name)
        self._log.write(exchange, status, seconds)
        if exchange.error is not None and not exchange.gone:
            self._log.fault(exchange, exchange.error)

    # -- what is checked first ------------------------------------------------------------------------------------------

    def _check(self, exchange: Exchange) -> None:
        """Raise Problem for what must not reach a handler."""
        self._check_host(exchange)
        self._check_origin(exchange)
        path = exchange.path
        if not path.startswith(_GUARDED):
            return
        self._check_token(exchange)
        serving = self.serving
        if serving.stopping:
            raise Problem(
                "stopping", "The server finishes what it has accepted and takes nothing new. Ask again when it is back.",
                headers=[("connection", "close"), ("retry-after", "5")],
            )  # fmt: skip
        if path in _SEARCHES and serving.pool.full:
            serving.pool.counts.refused += 1
            raise queue_full(serving.pool.places, serving.pool.wait_s())

    def _check_host(self, exchange: Exchange) -> None:
        """On loopback, a name that is not this machine's is a web page that had it resolve here (DNS rebinding)."""
        if self._hosts is None:
            return
        if sum(name == b"host" for name, _ in exchange.scope["headers"]) != 1:
            raise Problem("bad-request", "The request has no Host header, or several. Send one.")
        host = exchange.headers[b"host"].decode("latin-1").lower()
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if name.rstrip(".") not in self._hosts:
            raise Problem(
                "wrong-host", "The Host header names a host that this server does not answer for. Start it with "
                "--allowed-host NAME where that is meant.",
            )  # fmt: skip

    def _check_origin(self, exchange: Exchange) -> None:
        """A browser says which page asks: this server's own, or one that the configuration names."""
        origin = exchange.headers.get(b"origin")
        if origin is None or origin in self._origins:
            return
        own = origin.partition(b"://")[2]
        if own and own == exchange.headers.get(b"host"):
            return
        if exchange.headers.get(b"sec-fetch-site") == b"same-origin":
            return
        raise Problem(
            "wrong-origin", "Web pages of another origin may not ask. Start the server with --cors-origin for it."
        )

    def _check_token(self, exchange: Exchange) -> None:
        tokens = self.serving.tokens
        if not len(tokens):
            return
        scheme, _, secret = exchange.headers.get(b"authorization", b"").partition(b" ")
        token = tokens.find(secret.strip()) if scheme.lower() == b"bearer" else None
        if token is None:
            given = "is not one of this server's" if secret else "is missing"
            raise Problem(
                "no-token", f"The token {given}. Send it in the header `Authorization: Bearer TOKEN`.",
                headers=[("www-authenticate", 'Bearer realm="polyvec"')],
            )  # fmt: skip
        exchange.token = token.name
        exchange.scope["polyvec.may_write"] = token.may_write
        if exchange.method in _WRITES and not token.may_write:
            raise Problem("not-allowed", "This token may read only. Use one with write rights.")

    def _is_preflight(self, exchange: Exchange) -> bool:
        headers = exchange.headers
        return headers.get(b"origin") in self._origins and b"access-control-request-method" in headers

    def _extra_headers(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        data = exchange.path.startswith(_GUARDED) or exchange.path in ("/healthz", "/readyz", "/openapi.json")
        extra = [*_HEADERS, (b"x-request-id", exchange.request_id.encode("ascii"))]
        extra.append((b"content-security-policy", _DATA_POLICY if data else _PAGE_POLICY))
        if data:
            extra.append((b"cache-control", b"no-store"))
        origin = exchange.headers.get(b"origin")
        if origin is not None and origin in self._origins:
            extra += [
                (b"access-control-allow-origin", origin),
                (b"vary", b"Origin"),
                (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
                (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
                (b"access-control-expose-headers", b"retry-after, x-request-id"),
                (b"access-control-max-age", b"600"),
            ]
        return extra


def _host_names(host: str, allowed: tuple[str, ...], *, loopback: bool) -> frozenset[str] | None:
    """Names that the Host header may have; None for any."""
    names = {one.lower().rstrip(".") for one in allowed}
    if not loopback:
        return frozenset(names | {host.lower()}) if names else None
    own = f"[{host}]" if ":" in host else host
    return frozenset(names | {"localhost", "127.0.0.1", "[::1]", own.lower()})


def _sender(exchange: Exchange, send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            exchange.status = message["status"]
            given = list(message.get("headers", ()))
            known = {name for name, _ in given}
            message = {**message, "headers": given + [pair for pair in extra if pair[0] not in known]}
        elif kind == "http.response.body":
            size = len(message.get("body", b""))
            exchange.bytes_out += size
            if size > _LARGE:  # may wait for the client to read
                await asyncio.wait_for(send(message), _READ_WITHIN_S)
                return
        await send(message)

    return send_with_headers


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})
