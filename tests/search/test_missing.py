"""Who asks learns which shards did not answer, and nobody else does."""

from __future__ import annotations

import logging
import threading

import pytest

from polyvec.search.missing import note_missing, noting_missing


def test_names_are_collected_for_the_block_that_asks() -> None:
    with noting_missing() as outer:
        note_missing(["b"])
        with noting_missing() as inner:
            note_missing(["c", "a"])
            note_missing([])
        note_missing(("b", "d"))
    assert (outer, inner) == ({"b", "d"}, {"a", "c"})


def test_another_thread_has_notes_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with noting_missing() as names, caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=note_missing, args=(["shard-001"],))
        thread.start()
        thread.join()
    assert names == set()
    assert "no machine for shard-001: its answer is partial" in caplog.text


def test_a_whole_answer_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        note_missing([])
    assert caplog.text == ""
