"""Threads and their queue: order, places, deadlines, clients that go away, and texts that are encoded together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from polyvec.encoder import Encoded
from polyvec.serve.encoding import SharedEncoder
from polyvec.serve.pool import Pool, QueueFullError, Task, Texts, TimedOutError, Work
from tests.conftest import WordEncoder


class Batches(WordEncoder):
    """Notes which texts came together; waits for `go` where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    def stream_queries(self, texts: Any, *, progress: Callable[[int], None] | None = None) -> Iterator[Encoded]:
        given = list(texts)
        self.batches.append(given)
        self.go.wait(20)
        return super().stream_queries(given)


def run(pool: Pool, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    try:
        return asyncio.run(scenario())
    finally:
        pool.close()


def value(result: Any) -> Callable[[Task], Work]:
    def work(task: Task) -> Work:
        yield None
        return result

    return work


def test_results_and_errors_come_back() -> None:
    pool = Pool(threads=2, places=8, name="test")

    def fails(task: Task) -> Work:
        yield None
        raise ValueError("no")

    async def scenario() -> None:
        assert await pool.accept(value(5), timeout=10).future == 5
        with pytest.raises(ValueError, match="no"):
            await pool.accept(fails, timeout=10).future
        assert pool.held == 0

    run(pool, scenario)


def test_one_thread_keeps_the_order() -> None:
    pool, seen = Pool(threads=1, places=100, name="test"), []

    def work(task: Task, number: int) -> Work:
        seen.append(number)
        yield from ()
        return number

    async def scenario() -> None:
        tasks = [pool.accept(lambda task, n=n: work(task, n), timeout=10) for n in range(50)]  # type: ignore[misc]
        assert [await task.future for task in tasks] == list(range(50))

    run(pool, scenario)
    assert seen == list(range(50))


def test_work_that_gives_way_lets_others_go_first() -> None:
    pool, seen = Pool(threads=1, places=10, name="test"), []

    def long(task: Task) -> Work:
        for step in range(3):
            seen.append(f"long {step}")
            yield None
        return None

    def short(task: Task) -> Work:
        seen.append("short")
        yield from ()
        return None

    async def scenario() -> None:
        gate = threading.Event()
        first = pool.accept(lambda task: blocked(gate), timeout=10)
        tasks = [pool.accept(long, timeout=10), pool.accept(short, timeout=10)]
        gate.set()
        await asyncio.gather(first.future, *(task.future for task in tasks))

    run(pool, scenario)
    assert seen == ["long 0", "short", "long 1", "long 2"]


def blocked(gate: threading.Event) -> Work:
    gate.wait(20)
    yield from ()
    return None


def test_what_does_not_fit_is_refused_at_once() -> None:
    pool = Pool(threads=1, places=2, name="test")

    async def scenario() -> None:
        gate = threading.Event()
        tasks = [pool.accept(lambda task: blocked(gate), timeout=10) for _ in range(2)]
        assert pool.full
        with pytest.raises(QueueFullError) as raised:
            pool.accept(value(1), timeout=10)
        assert raised.value.wait_s > 0
        gate.set()
        for task in tasks:
            await task.future
        assert not pool.full
        assert await pool.accept(value(1), timeout=10).future == 1

    run(pool, scenario)
    assert pool.counts.refused == 1


def test_a_deadline_ends_waiting_work_at_once_and_running_work_at_its_next_step() -> None:
    pool, steps = Pool(threads=1, places=5, name="test"), []

    def long(task: Task, gate: threading.Event) -> Work:
        for step in range(1000):
            steps.append(step)
            gate.wait(20)
            yield None
        return None

    async def scenario() -> None:
        gate = threading.Event()
        running = pool.accept(lambda task: long(task, gate), timeout=0.2)
        waiting = pool.accept(value(1), timeout=0.2)
        for task in (running, waiting):
            with pytest.raises(TimedOutError):
                await task.future
        assert pool.held == 1, "what waited has given its place back; what runs keeps it until its step ends"
        gate.set()
        while pool.held:
            await asyncio.sleep(0.01)

    run(pool, scenario)
    assert steps == [0]
    assert pool.counts.dropped == 2


def test_a_client_that_goes_away_frees_its_place() -> None:
    pool, done = Pool(threads=1, places=2, name="test"), []

    def work(task: Task) -> Work:
        done.append(1)
        yield None

    async def scenario() -> None:
        gate = threading.Event()
        first = pool.accept(lambda task: blocked(gate), timeout=10)
        while first.waited_s < 0:
            await asyncio.sleep(0.001)
        gone = pool.accept(work, timeout=10)
        pool.drop(gone)
        assert pool.held == 1
        pool.drop(first)
        assert pool.held == 1, "its thread is still busy"
        gate.set()
        while pool.held:
            await asyncio.sleep(0.01)
        assert first.future.cancelled()
        assert gone.future.cancelled()

    run(pool, scenario)
    assert done == []


def test_work_can_ask_whether_anybody_waits() -> None:
    pool = Pool(threads=1, places=2, name="test")
    ended = threading.Event()

    def endless(task: Task) -> Work:
        try:
            while True:
                task.check()
                time.sleep(0.001)
        finally:
            ended.set()
        yield

    async def scenario() -> None:
        with pytest.raises(TimedOutError):
            await pool.accept(endless, timeout=0.05).future

    run(pool, scenario)
    assert ended.is_set()


def asking(encoder: SharedEncoder, text: str) -> Callable[[Task], Work]:
    def work(task: Task) -> Work:
        encoded = yield Texts(encoder, [text])
        assert encoded is not None
        return encoded[text].vectors if text in encoded else list(encoder.stream_queries([text]))

    return work


def test_texts_that_wait_are_encoded_together_and_the_first_does_not_wait() -> None:
    model = Batches()
    encoder, pool = SharedEncoder(model), Pool(threads=1, places=100, name="test")

    async def scenario() -> None:
        assert await pool.accept(asking(encoder, "alone"), timeout=10).future is not None
        assert model.batches == [["alone"]]
        model.go.clear()
        first = pool.accept(asking(encoder, "first"), timeout=10)
        while len(model.batches) < 2:
            await asyncio.sleep(0.001)
        others = [pool.accept(asking(encoder, f"text {n % 10}"), timeout=10) for n in range(20)]
        model.go.set()
        await first.future
        for n, task in enumerate(others):
            expected = next(WordEncoder().stream_queries([f"text {n % 10}"])).vectors
            assert np.array_equal(await task.future, expected)

    run(pool, scenario)
    assert model.batches[1:] == [["first"], [f"text {n}" for n in range(10)]], "each text once"


def test_texts_are_encoded_however_much_other_work_there_is() -> None:
    encoder, pool = SharedEncoder(WordEncoder()), Pool(threads=1, places=100, name="test")
    ended = threading.Event()

    def endless(task: Task) -> Work:
        while not ended.is_set():
            time.sleep(0.001)
            yield None

    async def scenario() -> None:
        others = [pool.accept(endless, timeout=30) for _ in range(3)]
        assert await pool.accept(asking(encoder, "bees"), timeout=10).future is not None
        ended.set()
        for task in others:
            await task.future

    run(pool, scenario)


def test_a_text_that_cannot_be_encoded_fails_its_own_request_alone() -> None:
    model = Batches()
    encoder, pool = SharedEncoder(model), Pool(threads=1, places=100, name="test")

    async def scenario() -> None:
        gate = threading.Event()
        pool.accept(lambda task: blocked(gate), timeout=10)
        good, bad = (pool.accept(asking(encoder, text), timeout=10) for text in ("good", "?!"))
        gate.set()
        assert await good.future is not None
        with pytest.raises(ValueError, match="empty text"):
            await bad.future

    run(pool, scenario)


def test_two_models_are_not_mixed() -> None:
    models = [Batches(), Batches()]
    encoders, pool = [SharedEncoder(model) for model in models], Pool(threads=1, places=100, name="test")

    async def scenario() -> None:
        gate = threading.Event()
        pool.accept(lambda task: blocked(gate), timeout=10)
        tasks = [pool.accept(asking(encoders[n % 2], f"text {n}"), timeout=10) for n in range(6)]
        gate.set()
        for task in tasks:
            await task.future

    run(pool, scenario)
    for number, model in enumerate(models):
        assert sorted(text for batch in model.batches for text in batch) == [f"text {n}" for n in range(number, 6, 2)]
