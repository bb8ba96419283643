"""Calls timed one by one, and what the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
TIMED_QUERIES = 100  # queries timed


def time_calls(call: Callable[[Any], object], arguments: Sequence[Any]) -> dict[str, float]:
    seconds = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - started)
    milliseconds = 1000 * np.array(seconds)
    return {
        "p50_ms": round(float(np.median(milliseconds)), 3),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 3),
    }
