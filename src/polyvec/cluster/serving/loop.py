"""A thread with an event loop, in which calls to other machines run while the threads that asked for them wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from polyvec.deadlines import keep_going

T = TypeVar("T")
_CHECK_EVERY_S = 0.05  # whether somebody still waits


class Loop:
    """One thread and its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="polyvec-asking", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, which is given up where `keep_going` says that nobody waits any more.

        Args:
            work: Runs in the thread of this object; call from another one.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not wait([future], _CHECK_EVERY_S).done:
                keep_going()
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def close(self) -> None:
        """End the thread; what still runs is given up. Safe to call twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
