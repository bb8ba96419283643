"""Failures that come from Python, in a process that goes on: bad documents, errors of a stream or a call, interrupts, signals.

After each, the index holds the state before or the state after, as a whole, `verify` finds nothing, and the same object goes on
with other work.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from polyvec import Index
from polyvec.errors import PolyvecError
from polyvec.index.catalog.connection import Connection
from polyvec.index.catalog.database import Database
from polyvec.index.catalog.documents_table import DocumentsTable
from polyvec.index.catalog.segments_table import SegmentsTable
from polyvec.index.format import BlockWriter
from polyvec.index.lock import WriterLock
from polyvec.index.reader import Snapshot
from polyvec.index.upkeep.merging import Source
from polyvec.index.writing.new_segment import NewSegment
from polyvec.index.writing.writer import Writer
from tests.crash.model import State, Step, difference, draw_step, fields

# What a change calls on its way: an error before or after any of these calls must leave all of the change or nothing.
POINTS: list[tuple[type, str]] = [
    (Connection, "execute"), (Connection, "executemany"), (Database, "_commit"), (Database, "set_meta"),
    (DocumentsTable, "rows_of"), (DocumentsTable, "insert_documents"), (DocumentsTable, "remove_documents"),
    (SegmentsTable, "insert_segment"), (SegmentsTable, "remove_segments"), (BlockWriter, "append"), (BlockWriter, "finish"),
    (NewSegment, "append"), (NewSegment, "list"), (NewSegment, "take"), (Snapshot, "__init__"), (Source, "copy_into"),
    (Writer, "_check"), (Writer, "_retire"), (Writer, "keep_up"), (WriterLock, "held"),
]  # fmt: skip
ERRORS: list[Callable[[], BaseException]] = [
    KeyboardInterrupt,
    MemoryError,
    lambda: OSError(28, "No space left on device"),
    SystemExit,
]


class Injected(Exception):
    """Raised by a stream of documents."""


def go_on(index: Index, state: State, steps: int, chooser: random.Random, fresh: int) -> tuple[State, int, str]:
    """Ordinary work. Returns the state after it, the next unused number, and what is wrong."""
    for _ in range(steps):
        step = draw_step(chooser, state, fresh)
        step.run(index)
        state = step.after(state)
        fresh += 100
    return state, fresh, difference(index, state, every=10) or "; ".join(index.verify())


def interrupt(index: Index, state: State, rounds: int, seed: int) -> tuple[Counter[str], State, str]:
    """Failing changes among ordinary ones. Returns what was done, the state at the end, and what is wrong."""
    chooser, fresh, counts = random.Random(seed), 1, Counter[str]()
    for number in range(rounds):
        step = draw_step(chooser, state, fresh)
        fresh += 100
        kind = chooser.choice(["stream", "metadata", "call", "call", "signal", "signal"])
        said = f"{kind} in {step.call}"
        try:
            with _FAILURES[kind](index, step, chooser) as run:
                run()
            raised = False
        except (PolyvecError, Injected, KeyboardInterrupt, MemoryError, OSError, SystemExit, TypeError):
            raised = True
        counts[f"{said}: {'raised' if raised else 'went through'}"] += 1
        wrong = [
            difference(index, one, every=10) for one in ([state, step.after(state)] if raised else [step.after(state)])
        ]
        if "" not in wrong:
            return counts, state, f"round {number}, {said}: {wrong}"
        state = state if raised and not wrong[0] else step.after(state)
        if problems := index.verify():
            return counts, state, f"round {number}, {said}: {problems}"
        state, fresh, problem = go_on(index, state, 2, chooser, fresh)
        if problem:
            return counts, state, f"round {number}, after {said}: {problem}"
    return counts, state, ""


Run = Callable[[], None]


def _documents(
    step: Step, chooser: random.Random, last: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    names = list(step.documents.items())
    at = chooser.randrange(len(names))
    for place, (name, version) in enumerate(names):
        yield last(fields(name, version)) if place == at else fields(name, version)


@contextlib.contextmanager
def _failing_stream(index: Index, step: Step, chooser: random.Random) -> Iterator[Run]:
    def last(document: dict[str, Any]) -> dict[str, Any]:
        raise Injected

    yield lambda: _with_documents(index, step, _documents(step, chooser, last))


@contextlib.contextmanager
def _bad_metadata(index: Index, step: Step, chooser: random.Random) -> Iterator[Run]:
    yield lambda: _with_documents(
        index, step, _documents(step, chooser, lambda document: {**document, "bad": object()})
    )


def _with_documents(index: Index, step: Step, documents: Iterator[dict[str, Any]]) -> None:
    if step.call in ("add", "update"):
        index.add(documents, existing="replace")
    elif step.call == "delete":
        index.delete(document["id"] for document in documents)
    else:
        step.run(index)


@contextlib.contextmanager
def _failing_call(index: Index, step: Step, chooser: random.Random) -> Iterator[Run]:
    owner, name = chooser.choice(POINTS)
    real = owner.__dict__[name]
    at, after, error, calls = chooser.choice([1, 1, 2, 3, 5, 9, 17]), chooser.random() < 0.5, chooser.choice(ERRORS), 0

    def instead(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise error()
        result = (real.fget if isinstance(real, property) else real)(*arguments, **named)
        if calls == at:
            raise error()
        return result

    setattr(owner, name, property(instead) if isinstance(real, property) else instead)
    try:
        yield lambda: step.run(index)
    finally:
        setattr(owner, name, real)


@contextlib.contextmanager
def _signal(index: Index, step: Step, chooser: random.Random) -> Iterator[Run]:
    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, chooser.uniform(0.0002, 0.04))
        try:
            yield lambda: step.run(index)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


_FAILURES: dict[str, Callable[[Index, Step, random.Random], contextlib.AbstractContextManager[Run]]] = {
    "stream": _failing_stream, "metadata": _bad_metadata, "call": _failing_call, "signal": _signal,
}  # fmt: skip
