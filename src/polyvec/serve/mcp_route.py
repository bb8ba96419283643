"""/mcp: the tools for assistants as a part of the HTTP server, behind the same tokens, threads and limits.

What speaks the protocol takes a second to load, so it is loaded when the first assistant asks.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.routing import Route

from polyvec.errors import MissingExtraError, PolyvecError, ServerError
from polyvec.serve.mcp_tools import MOST_HITS, Answer, AssistantTools
from polyvec.serve.pool import QueueFullError, Task, TimedOutError, Work
from polyvec.serve.problems import Problem, problem_of
from polyvec.serve.serving import Serving, queue_full

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class McpRoute:
    """An ASGI application for one path. `close` it on the event loop where it answered."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._manager: Any = None
        self._loading = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    def route(self) -> Route:
        """What to add to the application's routes."""
        return Route("/mcp", endpoint=self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the protocol. Raises Problem for a method without use here, and where the extra is missing."""
        if scope["method"] != "POST":
            raise Problem(
                "wrong-method",
                "Tools for assistants are called with POST; no stream is kept open.",
                headers=[("allow", "POST")],
            )
        async with self._loading:
            if self._manager is None:
                await self._load()
        await self._manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End what still runs."""
        self._end.set()
        if self._running is not None:
            await self._running

    async def _load(self) -> None:
        try:
            protocol = await asyncio.to_thread(importlib.import_module, "polyvec.serve.mcp")
        except MissingExtraError as error:
            raise Problem("no-route", str(error)) from None
        serving = self._serving
        indexes = {name: one.index for name, one in serving.collections.items()}
        tools = AssistantTools(indexes, most_hits=min(MOST_HITS, serving.config.max_k))
        server = protocol.make_server(tools, list(indexes), run=self._in_pool)
        manager = protocol.http_manager(server, max_body=serving.config.max_body)
        started = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                started.set()
                await self._end.wait()

        self._running = asyncio.create_task(run())
        await started.wait()
        self._manager = manager

    async def _in_pool(self, call: Callable[[], Answer]) -> Answer:
        """Run a call of a tool as any search runs. Raises PolyvecError, without paths of this machine."""
        pool, timeout = self._serving.pool, self._serving.config.timeout

        def make(task: Task) -> Work:
            yield from ()
            return call()

        try:
            task = pool.accept(make, timeout=timeout)
        except QueueFullError as error:
            raise ServerError(queue_full(pool.places, error.wait_s).detail) from None
        try:
            answer: Answer = await task.future
        except TimedOutError:
            raise ServerError(f"No answer within {timeout:g} s. Ask for less, or ask again later.") from None
        except PolyvecError as error:
            raise ServerError(problem_of(error, self._serving.hidden).detail) from None
        except asyncio.CancelledError:
            pool.drop(task)
            raise
        return answer
