"""One reply is enough: replicas that are dead, slow, hung or behind are gone around."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from polyvec.cluster.serving.asking import NotHeldError, Patience, ShardCalls
from polyvec.cluster.serving.question import Call, Reply, Route
from polyvec.errors import FilterError, InputError, ShardsMissingError

CALL = Call("documents_with", "1-abc", ([],))
Behavior = Callable[[Call], Awaitable[Reply]]


async def quick(call: Call) -> Reply:
    return Reply("done", "quick")


async def slow(call: Call) -> Reply:
    await asyncio.sleep(0.4)
    return Reply("done", "slow")


async def hung(call: Call) -> Reply:
    await asyncio.sleep(3600)
    raise AssertionError


async def dead(call: Call) -> Reply:
    return Reply("failed", "dead")


async def behind(call: Call) -> Reply:
    return Reply("not-held", ["0-aaa"])


async def wrong_filter(call: Call) -> Reply:
    return Reply("refused", ("FilterError", "no such operator"))


class Line:
    """Replicas that behave as they are told, in order; those that a route avoids come last."""

    def __init__(self, *behaviors: Behavior) -> None:
        self.behaviors = {f"r{number}": one for number, one in enumerate(behaviors)}
        self.sent: list[str] = []
        self.calls: list[Call] = []

    async def send(self, call: Call, route: Route) -> Reply:
        name = sorted(self.behaviors, key=lambda one: (one in route.tried, one in route.slow))[0]
        route.tried.append(name)
        self.sent.append(name)
        self.calls.append(call)
        reply = await self.behaviors[name](call)
        return Reply(reply.kind, reply.value, name)


def calls(*behaviors: Behavior, **patience: float) -> tuple[ShardCalls, Line]:
    line = Line(*behaviors)
    return ShardCalls("shard-000", line, Patience(**{"try_s": 0.2, "hedge_s": 0.02, "shard_s": 1.0, **patience})), line


async def test_a_quick_replica_is_asked_alone() -> None:
    shard, line = calls(quick, quick, hedge_s=5.0, try_s=5.0)
    for _ in range(5):
        assert await shard.ask(CALL) == "quick"
    assert line.sent == ["r0"] * 5
    assert 0 < line.calls[0].within_s <= 1.0


async def test_a_dead_replica_is_gone_around_and_asked_last_from_then_on() -> None:
    shard, line = calls(dead, quick, hedge_s=5.0, try_s=5.0)
    for _ in range(3):
        assert await shard.ask(CALL) == "quick"
    assert line.sent == ["r0", "r1", "r1", "r1"]


async def test_a_hung_replica_gets_company_and_is_asked_last_from_then_on() -> None:
    shard, line = calls(hung, quick)
    for _ in range(3):
        assert await shard.ask(CALL) == "quick"
    assert line.sent == ["r0", "r1", "r1", "r1"]


async def test_without_company_a_hung_try_is_given_up() -> None:
    shard, line = calls(hung, quick, hedge_s=0.1, try_s=0.1)
    assert await shard.ask(CALL) == "quick"
    assert line.sent == ["r0", "r1"]


async def test_both_may_be_slow() -> None:
    shard, line = calls(slow, slow, try_s=1.0)
    assert await shard.ask(CALL) == "slow"
    assert len(line.sent) == 2


async def test_company_is_for_a_tenth_of_the_calls_at_most() -> None:
    shard, line = calls(slow, try_s=5.0, hedge_s=0.001)
    await asyncio.gather(*(shard.ask(CALL) for _ in range(60)))
    assert 60 < len(line.sent) <= 60 + 10 + 6


async def test_nobody_answers() -> None:
    for behavior in (hung, dead):
        shard, line = calls(behavior, behavior, shard_s=0.6)
        with pytest.raises(ShardsMissingError, match=r"No machine answers for shard-000\. Ask again later\.") as error:
            await shard.ask(CALL)
        assert error.value.shards == ("shard-000",)
        assert shard.gone
        assert set(line.sent) == {"r0", "r1"}


async def test_a_missing_shard_is_not_waited_for_again_until_it_answers() -> None:
    shard, line = calls(hung, shard_s=2.0)
    with pytest.raises(ShardsMissingError):
        await shard.ask(CALL)
    began = time.monotonic()
    with pytest.raises(ShardsMissingError):
        await shard.ask(CALL)
    assert time.monotonic() - began < 1.5
    line.behaviors["r0"] = slow
    with pytest.raises(ShardsMissingError):
        await shard.ask(CALL)
    assert await _patient(shard, try_s=1.0) == "slow"
    assert not shard.gone


async def _patient(shard: ShardCalls, **more: float) -> Any:
    shard._patience = Patience(try_s=more["try_s"], hedge_s=0.5, shard_s=2.0)
    return await shard.ask(CALL, patient=True)


async def test_a_version_that_nobody_holds() -> None:
    shard, line = calls(behind, behind)
    with pytest.raises(NotHeldError, match="no machine holds version 1-abc, only 0-aaa"):
        await shard.ask(CALL)
    assert set(line.sent) == {"r0", "r1"}
    assert not shard.gone


async def test_a_version_that_one_holds() -> None:
    shard, line = calls(behind, quick)
    assert await shard.ask(CALL) == "quick"
    assert line.sent == ["r0", "r1"]


async def test_what_makes_no_sense_is_asked_once() -> None:
    shard, line = calls(wrong_filter, quick)
    with pytest.raises(FilterError, match="no such operator"):
        await shard.ask(CALL)
    assert line.sent == ["r0"]


async def test_tries_end_with_the_call() -> None:
    ended: list[str] = []

    async def watched(call: Call) -> Reply:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    shard, _ = calls(watched, quick)
    assert await shard.ask(CALL) == "quick"
    await asyncio.sleep(0)
    assert ended == ["cancelled"]
    task = asyncio.create_task(shard.ask(CALL))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1s", None, True])
@pytest.mark.parametrize("name", ["try_s", "hedge_s", "shard_s"])
def test_a_patience_that_makes_no_sense(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name}="):
        Patience(**{name: value})
