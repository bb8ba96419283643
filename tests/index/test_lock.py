"""The writer's lock is let go of wherever its taker was interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polyvec.errors import IndexLockedError
from polyvec.index.lock import WriterLock


@pytest.mark.parametrize("call", ["truncate", "lseek", "write", "read"])
def test_an_interrupt_while_the_lock_is_taken_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            WriterLock(tmp_path)
    WriterLock(tmp_path).close()


def test_a_lock_that_nobody_keeps_is_free_again(tmp_path: Path) -> None:
    WriterLock(tmp_path)
    with WriterLock(tmp_path), pytest.raises(IndexLockedError, match=f"process {os.getpid()} "):
        WriterLock(tmp_path)
    WriterLock(tmp_path).close()
