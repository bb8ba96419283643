"""A call to one shard -> the reply of one of its replicas, whatever becomes of the others.

A try that is late gets company on another replica; one that fails is made again elsewhere. Which replicas there are, and whether
they live, is Ray Serve's to know: here is only how long to wait for one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from polyvec.arguments import number
from polyvec.cluster.serving.question import Call, Reply, Route
from polyvec.errors import FilterError, InputError, PolyvecError, ShardsMissingError

_REFUSALS: dict[str, type[PolyvecError]] = {"FilterError": FilterError}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5  # between two tries when all replicas have failed
_SLOW_S = 5.0  # that a replica is asked last after it kept a call waiting
_GONE_S = 0.3  # that a call waits for a shard that did not answer the last one
_HEDGES, _HEDGE_SHARE = 10.0, 0.1  # company at once, and for each call
_LATE = 4.0  # times the mean time of a reply, after which a try is late
_NOT_HELD = 4  # replies without the version, after which it is gone


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a shard, in seconds; checked when it is made."""

    # For one try. Then it is given up and made on another replica.
    try_s: float = 2.0
    # Before a late try gets company on another replica, at least.
    hedge_s: float = 0.1
    # For all tries together. Then the shard counts as missing, until it answers again.
    shard_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("try_s", "hedge_s", "shard_s"):
            given = number(
                name, getattr(self, name), "seconds above 0, at most an hour", lambda value: 0 < value <= 3600
            )
            object.__setattr__(self, name, given)


class NotHeldError(PolyvecError):
    """No replica has the version that was asked for."""


class Line(Protocol):
    """The way to the replicas of one shard."""

    async def send(self, call: Call, route: Route) -> Reply:
        """Have a replica do something.

        Args:
            call: What.
            route: Says which replicas to avoid; the one that is taken is noted there before the reply comes.

        Returns:
            The reply; "failed" where the replica is dead or cannot be reached.
        """


class ShardCalls:
    """Calls to one shard. Belongs to one event loop.

    Args:
        name: Of the shard.
        line: The way to its replicas.
        patience: How long to wait.
        clock: Seconds that only grow.
    """

    def __init__(
        self, name: str, line: Line, patience: Patience, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.line = name, line
        self._patience, self._clock = patience, clock
        self._slow: dict[str, float] = {}  # replicas, and until when they are asked last
        self._hedges = _HEDGES
        self._mean_s = 0.0
        self.gone = False

    async def ask(self, call: Call, *, patient: bool = False) -> Any:
        """The result of a call.

        Args:
            call: What is asked.
            patient: Whether to wait long even where the last call went unanswered.

        Returns:
            What the method returns.

        Raises:
            ShardsMissingError: No replica answers.
            NotHeldError: None has the version.
            InputError: What was asked makes no sense.
        """
        within_s = self._patience.shard_s if patient or not self.gone else min(_GONE_S, self._patience.shard_s)
        asking = _Asking(self, call, within_s)
        try:
            reply = await asking.reply()
        finally:
            asking.end()
        if reply is None:
            self.gone = True
            raise ShardsMissingError(f"No machine answers for {self.name}. Ask again later.", (self.name,))
        if reply.kind == "not-held":
            raise NotHeldError(f"{self.name}: no machine holds version {call.version}, only {', '.join(reply.value)}.")
        self.gone = False
        if reply.kind == "refused":
            kind, message = reply.value
            raise _REFUSALS.get(kind, InputError)(message)
        return reply.value

    # -- what is known of replicas -------------------------------------------------------------------------------------

    def new_route(self) -> Route:
        """For one call: replicas that are slow now are asked last."""
        now = self._clock()
        self._slow = {name: until for name, until in self._slow.items() if until > now}
        return Route(slow=tuple(self._slow))

    def note_slow(self, replicas: list[str]) -> None:
        """Ask these last for some seconds."""
        until = self._clock() + _SLOW_S
        self._slow.update(dict.fromkeys(replicas, until))

    def note_reply(self, replica: str, seconds: float) -> None:
        """A replica has replied."""
        self._slow.pop(replica, None)
        self._mean_s += (seconds - self._mean_s) / 20

    def late_after_s(self) -> float:
        """Seconds after which a try is late."""
        return min(max(self._patience.hedge_s, _LATE * self._mean_s), self._patience.try_s)

    def may_hedge(self) -> bool:
        """Whether a late try may get company: not for more than a tenth of all calls, lest a slow day doubles the work."""
        if self._hedges < 1:
            return False
        self._hedges -= 1
        return True

    def note_call(self) -> None:
        """A call begins."""
        self._hedges = min(_HEDGES, self._hedges + _HEDGE_SHARE)

    @property
    def patience(self) -> Patience:
        """How long to wait."""
        return self._patience


class _Asking:
    """One call and its tries."""

    def __init__(self, calls: ShardCalls, call: Call, within_s: float) -> None:
        self._calls, self._call = calls, call
        self._route = calls.new_route()
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + within_s
        self._running: dict[asyncio.Task[Reply], float] = {}
        self._hedge_at = self._loop.time() + calls.late_after_s()
        self._not_held = 0

    async def reply(self) -> Reply | None:
        """The first reply that is one; None where none comes in time."""
        calls, loop = self._calls, self._loop
        calls.note_call()
        self._begin()
        pause = 0.0
        while (now := loop.time()) < self._end:
            done, _ = await asyncio.wait(
                self._running, timeout=self._wake_at() - now, return_when=asyncio.FIRST_COMPLETED
            )
            now = loop.time()
            for task in done:
                reply, seconds = task.result(), now - self._running.pop(task)
                if reply.kind in ("done", "refused"):
                    calls.note_reply(reply.replica, seconds)
                    calls.note_slow([one for one in self._route.tried if one != reply.replica])
                    return reply
                self._not_held += reply.kind == "not-held"
                if self._not_held >= _NOT_HELD:
                    return reply
            for task in [one for one, began in self._running.items() if now - began >= calls.patience.try_s]:
                task.cancel()
                del self._running[task]
            if not self._running:
                await asyncio.sleep(min(pause, max(self._end - now, 0.0)))
                pause = min(max(2 * pause, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                self._begin()
            elif now >= self._hedge_at:
                self._hedge_at = self._end
                if calls.may_hedge():
                    self._begin()
        calls.note_slow(self._route.tried)
        return None

    def end(self) -> None:
        """Give up the tries that still run."""
        for task in self._running:
            task.cancel()

    def _begin(self) -> None:
        left = max(self._end - self._loop.time(), 0.001)
        call = Call(self._call.method, self._call.version, self._call.arguments, left)
        task = self._loop.create_task(self._calls.line.send(call, self._route))
        self._running[task] = self._loop.time()

    def _wake_at(self) -> float:
        oldest = min(self._running.values()) + self._calls.patience.try_s
        return min(self._end, oldest, self._hedge_at)
