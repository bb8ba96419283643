"""Which shards did not answer a search: noted where they are asked, read by whoever asked.

    with noting_missing() as missing:
        hits = collection.search(...)
    missing          # names of shards whose documents were not searched; empty for a whole answer

Notes count for the thread, or the task, that opened the block. Without one, they are logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger(__name__)
_noted: ContextVar[set[str] | None] = ContextVar("polyvec_missing", default=None)


@contextmanager
def noting_missing() -> Iterator[set[str]]:
    """Collect the names of shards that do not answer inside.

    Yields:
        The names, which come while searches run.
    """
    names: set[str] = set()
    token = _noted.set(names)
    try:
        yield names
    finally:
        _noted.reset(token)


def note_missing(names: Iterable[str]) -> None:
    """Say that shards were not searched.

    Args:
        names: Of the shards.
    """
    given = sorted(names)
    noted = _noted.get()
    if noted is not None:
        noted.update(given)
    elif given:
        log.warning("a search found no machine for %s: its answer is partial", ", ".join(given))
