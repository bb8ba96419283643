"""A check that long work calls: for the thread that set it, and no longer than it is set."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from polyvec.collection.index import Index
from polyvec.deadlines import keep_going, stopping
from tests.conftest import WordEncoder


class _EnoughError(Exception):
    pass


def _stop() -> None:
    raise _EnoughError


def test_without_a_check_work_goes_on() -> None:
    keep_going()


def test_the_check_counts_inside_alone() -> None:
    with stopping(_stop), pytest.raises(_EnoughError):
        keep_going()
    keep_going()


def test_the_inner_check_counts_until_it_ends() -> None:
    with stopping(_stop):
        with stopping(lambda: None):
            keep_going()
        with pytest.raises(_EnoughError):
            keep_going()


def test_other_threads_go_on() -> None:
    failed: list[BaseException] = []

    def other() -> None:
        try:
            keep_going()
        except _EnoughError as error:
            failed.append(error)

    with stopping(_stop):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert failed == []


def test_searches_ask_before_each_question_and_each_segment(tmp_path: object) -> None:
    encoder = WordEncoder()
    with Index.create(f"{tmp_path}/wiki.polyvec", encoder=encoder) as index:
        index.add([{"id": "a", "text": "bees"}])
        left = 3

        def few() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _EnoughError

        with stopping(few), pytest.raises(_EnoughError):
            index.search(["bees"] * 5, threads=1)
        with stopping(_stop), pytest.raises(_EnoughError):
            index.search_vectors(np.ones((2, encoder.dim), np.float32))
        assert index.search("bees")[0].id == "a"
