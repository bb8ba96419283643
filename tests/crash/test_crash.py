"""The crash harness in short: kills at random instants, and a sample of every way to fail at every system call."""

from __future__ import annotations

import pytest

from tests.crash.faults import available
from tests.crash.harness import run_apart


@pytest.mark.skipif(not available(), reason="needs Linux and a C compiler")
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there() -> None:
    report = run_apart(kills=6, every=60, interruptions=60, seed=3)
    assert report["problems"] == [], report
    assert report["kills"] >= 15
    assert report["errors_injected"] >= 20
    assert report["interruptions"] == 60
