"""Accepted work -> threads that do it, in order, with a bounded queue, deadlines, and encoding of waiting texts together.

A piece of work is a generator. It yields `Texts` to get their encodings, or None to let others go first; between two steps, work
whose deadline has passed or whose client has gone is dropped. Knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from polyvec.encoder import Encoded
from polyvec.serve.encoding import SharedEncoder

_TOGETHER_S = 0.002  # that a text waits for others while there is other work
_MOST_TOGETHER = 32  # texts of several requests that are encoded in one batch


class Texts(NamedTuple):
    """What a piece of work wants encoded."""

    encoder: SharedEncoder
    texts: list[str]


Encodings = Mapping[str, Encoded]
Work = Generator[Texts | None, Encodings | None, Any]


class QueueFullError(Exception):
    """There is no place left; `wait_s` is about how long it takes until there is one."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


class TimedOutError(Exception):
    """The deadline passed before the work was done."""


class Task:
    """One piece of accepted work. `check` is for the work itself, to stop where it has no end in sight."""

    __slots__ = ("asked", "asked_at", "deadline", "dropped", "future", "given", "started", "timer", "waited_s", "work")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # of time.perf_counter()
        self.dropped = False
        self.started = time.perf_counter()
        self.waited_s = -1.0  # between acceptance and the first step
        self.work: Work
        self.future: asyncio.Future[Any]
        self.given: Encodings | None = None
        self.asked: Texts | None = None
        self.asked_at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def check(self) -> None:
        """Raise TimedOutError when nobody waits for the result any more."""
        if self.dropped or time.perf_counter() > self.deadline:
            raise TimedOutError


@dataclass
class Counts:
    """What a pool has done, for the metrics."""

    accepted: int = 0
    refused: int = 0
    dropped: int = 0
    batches: int = 0
    batched_texts: int = 0
    busy_s: float = 0.0
    done: int = 0
    observe: Callable[[str, float], None] = field(default=lambda step, seconds: None)


class Pool:
    """Threads and their bounded queue. Made and asked from one event loop.

    Args:
        threads: How many.
        places: How many pieces of work are accepted at once.
        name: Of the threads.
    """

    def __init__(self, *, threads: int, places: int, name: str) -> None:
        self.threads, self.places, self.name = threads, places, name
        self.counts = Counts()
        self.held = 0  # places that are taken; changed on the event loop alone
        self._changed = threading.Condition()
        self._ready: deque[Task] = deque()
        self._texts: deque[Task] = deque()
        self._encoding = self._ended = False
        self._crew: list[threading.Thread] = []

    @property
    def full(self) -> bool:
        """Whether the next piece of work is refused."""
        return self.held >= self.places

    @property
    def alone(self) -> bool:
        """Whether one piece of work has all the threads to itself."""
        return self.held <= 1

    def wait_s(self) -> float:
        """About how long it takes until what is accepted now is done."""
        each = self.counts.busy_s / self.counts.done if self.counts.done else 0.1
        return self.held * each / self.threads

    def accept(self, make: Callable[[Task], Work], *, timeout: float) -> Task:
        """Take a place and begin; the result is `task.future`, which ends with TimedOutError at the deadline.

        Raises QueueFullError where no place is left.
        """
        if self.full:
            self.counts.refused += 1
            raise QueueFullError(self.wait_s())
        if not self._crew:
            self._start()
        loop = asyncio.get_running_loop()
        task = Task(time.perf_counter() + timeout)
        task.future = loop.create_future()
        task.work = make(task)
        task.timer = loop.call_later(timeout, self._expire, task)
        self.held += 1
        self.counts.accepted += 1
        with self._changed:
            self._ready.append(task)
            self._changed.notify()
        return task

    def drop(self, task: Task) -> None:
        """Give the place of a client that has gone to somebody else, now if the work waits, else after its present step."""
        task.dropped = True
        with self._changed:
            waits = self._taken_out(task)
        if waits:
            self._release(task)
        if not task.future.done():
            task.future.cancel()

    def close(self) -> None:
        """Let the threads end after their present step. Waits for them."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._crew:
            thread.join()

    # -- on the event loop ----------------------------------------------------------------------------------------------

    def _expire(self, task: Task) -> None:
        if task.future.done():
            return
        task.future.set_exception(TimedOutError())
        self.drop(task)

    def _release(self, task: Task) -> None:
        self.held -= 1
        self.counts.dropped += task.dropped
        self.counts.done += 1
        if task.timer is not None:
            task.timer.cancel()

    def _deliver(self, task: Task, result: Any, error: BaseException | None) -> None:
        self._release(task)
        if task.future.done():
            return
        if error is None:
            task.future.set_result(result)
        else:
            task.future.set_exception(error)

    # -- on the threads -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        for number in range(self.threads):
            thread = threading.Thread(target=self._run, name=f"{self.name}-{number}", daemon=True)
            self._crew.append(thread)
            thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._ended or self._ready or (self._texts and not self._encoding)):
                    self._changed.wait()
                if self._ended:
                    return
                task = self._ready.popleft() if self._ready and not self._overdue() else None
                batch = [] if task is not None else self._next_batch()
            if task is not None:
                self._step(task)
            else:
                self._encode(batch)

    def _overdue(self) -> bool:
        """Whether texts have waited for others long enough."""
        return bool(self._texts) and not self._encoding and time.perf_counter() - self._texts[0].asked_at > _TOGETHER_S

    def _next_batch(self) -> list[Task]:
        """Tasks whose texts wait, of one encoder, in order."""
        self._encoding = True
        batch: list[Task] = []
        texts = 0
        encoder = self._texts[0].asked.encoder  # type: ignore[union-attr]
        while self._texts and texts < _MOST_TOGETHER:
            asked = self._texts[0].asked
            assert asked is not None
            if asked.encoder is not encoder:
                break
            texts += len(asked.texts)
            batch.append(self._texts.popleft())
        return batch

    def _encode(self, batch: list[Task]) -> None:
        wanted = [task.asked for task in batch if task.asked is not None]
        started = time.perf_counter()
        together: Encodings | None = None
        try:
            together = wanted[0].encoder.encode_together(text for asked in wanted for text in asked.texts)
        except (
            Exception
        ):  # one of the texts is to blame: each piece of work then asks for its own, and gets its own error
            together = None
        seconds = time.perf_counter() - started
        self.counts.batches += 1
        self.counts.batched_texts += sum(len(asked.texts) for asked in wanted)
        self.counts.busy_s += seconds
        self.counts.observe("encode", seconds)
        with self._changed:
            self._encoding = False
            for task in batch:
                task.given, task.asked = {} if together is None else together, None
                self._ready.append(task)
            self._changed.notify(max(len(batch), 1))

    def _step(self, task: Task) -> None:
        started = time.perf_counter()
        if task.waited_s < 0:
            task.waited_s = started - task.started
        try:
            task.check()
            given, task.given = task.given, None
            asked = task.work.send(given)
        except StopIteration as done:
            self._finish(task, started, done.value, None)
        except BaseException as error:  # whatever it is, it is the answer to whoever waits
            self._finish(task, started, None, error)
        else:
            self.counts.busy_s += time.perf_counter() - started
            task.asked, task.asked_at = asked, time.perf_counter()
            with self._changed:
                (self._ready if asked is None else self._texts).append(task)
                self._changed.notify()

    def _finish(self, task: Task, started: float, result: Any, error: BaseException | None) -> None:
        task.work.close()
        self.counts.busy_s += time.perf_counter() - started
        loop = task.future.get_loop()
        try:
            loop.call_soon_threadsafe(self._deliver, task, result, error)
        except RuntimeError:  # the event loop has ended, and nobody waits
            self._ended = True

    def _taken_out(self, task: Task) -> bool:
        for queue in (self._ready, self._texts):
            if task in queue:
                queue.remove(task)
                return True
        return False
