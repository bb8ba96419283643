"""Work that stops when nobody waits for it any more: a check that long steps call between two pieces of work.

    with stopping(check):        # check raises where the work has to end
        index.search(...)

The check counts for the thread that set it. Without one, `keep_going` returns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None] | None] = ContextVar("polyvec_check", default=None)


@contextmanager
def stopping(check: Callable[[], None]) -> Iterator[None]:
    """Have `keep_going` call this check inside.

    Args:
        check: Raises whatever the caller of the long step is to get.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def keep_going() -> None:
    """Raise what the check raises, where there is one and it says that the work has to end."""
    check = _check.get()
    if check is not None:
        check()
