"""Run something in a forked child, and hear what came of it."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

SECONDS = 60  # after which a child that hangs is killed


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the name of what it raises and its message."""
    try:
        return call()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def in_child(call: Callable[[], Any]) -> Any:
    """`outcome` in a forked child; "hangs" where it does not come to an end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.write(writing, pickle.dumps(outcome(call)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(said) if status == 0 else "hangs"
