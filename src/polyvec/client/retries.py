"""Whether a call that failed is made again, and after which pause. Waits for nothing itself.

Made again is what is safe to repeat, and what the server says it has not begun. Pauses grow, differ by chance so that clients do
not come back all at once, are at least as long as Retry-After says, and never go past the deadline of the call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from polyvec.client.answers import Problem
from polyvec.client.calls import Call
from polyvec.errors import ServerError

MOST_TRIES = 6
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_TEMPORARY = (429, 502, 503)  # answers that another try may change


class Tries:
    """The tries of one call.

    Args:
        call: What is to be done.
        url: Of the server, for messages.
        timeout_s: For all tries together.
        clock: Seconds that only grow.
    """

    def __init__(
        self, call: Call[Any], url: str, timeout_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call, self._url, self._timeout_s, self._clock = call, url, timeout_s, clock
        self._end = clock() + timeout_s
        self._failed = 0

    def left_s(self) -> float:
        """Seconds until the deadline. Raises ServerError where it has passed."""
        left = self._end - self._clock()
        if left <= 0:
            raise self._late()
        return left

    def after_answer(self, problem: Problem, retry_after: str | None) -> float:
        """The pause after an answer that is no success. Raises the error that it stands for where no other try is made."""
        temporary = problem.refused or (self._call.safe and problem.status in _TEMPORARY)
        pause = self._pause(retry_after) if temporary and self._call.again else None
        if pause is None:
            raise problem.error(self._url)
        return pause

    def after_failure(self, error: Exception, *, sent: bool) -> float:
        """The pause after a connection that failed. Raises ServerError where no other try is made.

        Args:
            error: What happened.
            sent: Whether the server may have got the request.
        """
        repeatable = not sent or (self._call.safe and self._call.again)
        pause = self._pause(None) if repeatable else None
        if pause is None:
            reason = " ".join(str(error).split()) or type(error).__name__
            done = " It may have been done." if sent and self._call.writes else ""
            raise ServerError(f"{self._url} does not answer ({reason}).{done} Is the server running?") from error
        return pause

    def _pause(self, retry_after: str | None) -> float | None:
        """Seconds to wait; None where no other try is made."""
        self._failed += 1
        if self._failed >= MOST_TRIES:
            return None
        most = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._failed - 1))
        pause = random.uniform(most / 2, most) + _seconds(retry_after)
        return pause if self._clock() + pause < self._end else None

    def _late(self) -> ServerError:
        done = " It may have been done." if self._call.writes else ""
        name = "write_timeout" if self._call.writes else "timeout"
        return ServerError(
            f"{self._url} gave no answer within {self._timeout_s:g} s.{done} Ask for less, or give the client a longer {name}."
        )


def _seconds(retry_after: str | None) -> float:
    """Whole seconds of the header Retry-After; a date there is not read."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() and len(retry_after) < 7 else 0.0
