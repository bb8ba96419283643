"""Readers in other processes while one writes, in short; `python -m tests.index.readers` is the long form."""

from __future__ import annotations

import sys

import pytest

from tests.index.readers import run


@pytest.mark.skipif(sys.platform == "win32", reason="reads /proc or does without, but needs POSIX files")
def test_every_answer_is_that_of_one_committed_state() -> None:
    report = run(seconds=5, readers=3)
    assert report["problems"] == []
    assert report["searches"] > 0
    assert report["writer"]["calls"] > 3
