"""What all requests share: configuration, collections, threads, tokens, counts; and how a request waits for its work."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from polyvec.serve.bodies import ClientGoneError
from polyvec.serve.collections import Collection, Collections
from polyvec.serve.config import ServeConfig
from polyvec.serve.metrics import Metrics
from polyvec.serve.pool import Pool, QueueFullError, Task, TimedOutError, Work
from polyvec.serve.problems import Problem
from polyvec.serve.room import Room
from polyvec.serve.tokens import Tokens, load_tokens

_LOOK_AFTER_S = 0.05  # work that takes longer is dropped when its client goes away


@dataclass(eq=False)
class Serving:
    """One server's state. Made before the event loop runs, closed after it."""

    config: ServeConfig
    collections: Collections
    tokens: Tokens = field(init=False)
    pool: Pool = field(init=False)
    metrics: Metrics = field(init=False)
    room: Room = field(init=False)
    ready: bool = False
    stopping: bool = False
    in_flight: int = 0

    def __post_init__(self) -> None:
        config = self.config
        self.room = Room(config.max_body)
        self.tokens = load_tokens(config.token_file, config.tokens)
        self.pool = Pool(threads=config.search_threads, places=config.places, name="polyvec-search")
        self.metrics = Metrics(self.pool)
        self.pool.counts.observe = self.metrics.step

    def close(self) -> None:
        """End the threads and close the collections."""
        self.pool.close()
        self.collections.close()

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """Paths that no client is told, and what stands for them."""
        return [(one.path, one.name) for one in self.collections.values() if one.path is not None]


def serving_of(request: Request) -> Serving:
    """The server that a request came to."""
    found: Serving = request.app.state.serving
    return found


async def search_work(request: Request, make: Callable[[Task], Work]) -> Any:
    """Have a search thread do some work, and wait for its result."""
    serving = serving_of(request)
    return await _done(request, serving.pool, make, serving.config.timeout)


async def write_work(request: Request, collection: Collection, make: Callable[[Task], Work]) -> Any:
    """Have the writer of a collection do some work, after what came before, and wait for its result."""
    serving = serving_of(request)
    return await _done(request, collection.writer, make, serving.config.write_timeout)


async def _done(request: Request, pool: Pool, make: Callable[[Task], Work], timeout: float) -> Any:
    try:
        task = pool.accept(make, timeout=timeout)
    except QueueFullError as error:
        raise queue_full(pool.places, error.wait_s) from None
    watch: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later(_LOOK_AFTER_S, lambda: watch.append(loop.create_task(_drop_when_gone(request, pool, task))))
    try:
        return await task.future
    except TimedOutError:
        raise Problem(
            "timed-out", f"No answer within {timeout:g} s. Ask for less, or ask again when less is going on."
        ) from None
    except asyncio.CancelledError:
        pool.drop(task)
        if task.future.cancelled() and watch:
            raise ClientGoneError from None
        raise
    finally:
        later.cancel()
        for one in watch:
            one.cancel()


async def _drop_when_gone(request: Request, pool: Pool, task: Task) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            pool.drop(task)
            return


def queue_full(places: int, wait_s: float) -> Problem:
    """The answer where no place is left."""
    return Problem(
        "queue-full",
        f"{places} requests are waiting already, as many as are accepted. Ask again later.",
        headers=[("retry-after", str(max(1, math.ceil(wait_s))))],
    )


def since_ms(started: float) -> float:
    """Milliseconds since a moment of time.perf_counter()."""
    return round(1000 * (time.perf_counter() - started), 3)
