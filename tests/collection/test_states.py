"""Every call of an Index in every state that it may be in, as docs/living-index.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Index
from tests.conftest import WordEncoder
from tests.forking import in_child, outcome

PAGE = Path(__file__).parents[2] / "docs" / "living-index.md"
ENCODER: Any = WordEncoder(dim=16)
VECTORS = np.eye(16, dtype=np.float32)[:3]
LENGTH = 5  # documents of a new index
CALLS: dict[str, Callable[[Index], Any]] = {
    "len": len,
    "in": lambda index: "d0" in index,
    "get": lambda index: [document.id for document in index.get(["d0"]) if document],
    "documents": lambda index: [document.id for document in index.documents()],
    "scan": lambda index: [document.id for document in index.scan(after="d2", limit=2)],
    "fields": lambda index: list(index.fields()),
    "search": lambda index: [hit.id for hit in index.search("word0", k=1)],
    "search_vectors": lambda index: len(index.search_vectors(VECTORS, k=1)),
    "verify": lambda index: index.verify(),
    "info": lambda index: index.info()["documents"],
    "refresh": lambda index: index.refresh(),
    "add": lambda index: index.add([{"id": "new", "text": "more words"}]).added,
    "update": lambda index: index.update([{"id": "d0", "text": "other words"}]).replaced,
    "update_metadata": lambda index: index.update_metadata({"d0": {"n": 7}}),
    "add_vectors": lambda index: index.add_vectors(["new"], [VECTORS]).added,
    "delete": lambda index: index.delete(["d0"]),
    "compact": lambda index: index.compact(),
    "close": lambda index: index.close(),
}
RESULTS = {
    "len": LENGTH, "in": True, "get": ["d0"], "documents": [f"d{i}" for i in range(LENGTH)],
    "scan": ["d3", "d4"], "fields": ["n"],
    "search": ["d0"], "search_vectors": 1,
    "verify": [], "info": LENGTH, "refresh": None, "add": 1, "update": 1,
    "update_metadata": 1, "add_vectors": 1, "delete": 1, "compact": None, "close": None,
}  # fmt: skip


def table() -> Iterator[tuple[str, str, str]]:
    """State, call and what comes of it, from the page."""
    part = PAGE.read_text(encoding="utf-8").split("## States of an Index")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    heads = [re.findall(r"`(\w+)`", cell) for cell in rows[0][1:]]
    for state, *cells in rows[2:]:
        for calls, expected in zip(heads, cells, strict=True):
            yield from ((state, call, expected) for call in calls)


def make(path: Path) -> Index:
    index = Index.create(path, encoder=ENCODER)
    index.add([{"id": f"d{i}", "text": f"word{i} and some more", "n": i} for i in range(LENGTH)])
    return index


def is_open(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        return outcome(lambda: call(index))


def inside(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        seen: list[Any] = []

        def stream() -> Iterator[dict[str, str]]:
            yield {"id": "first", "text": "a word"}
            seen.append(outcome(lambda: call(index)))
            yield {"id": "second", "text": "a word"}

        index.add(stream())
        assert len(index) == LENGTH + 2
        return seen[0]


def closed(path: Path, call: Callable[[Index], Any]) -> Any:
    index = make(path)
    index.close()
    return outcome(lambda: call(index))


def child_of_a_writer(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        said = in_child(lambda: call(index))
        assert index.add([{"id": "parent", "text": "goes on"}]).added == 1
        assert (len(index), index.verify()) == (LENGTH + 1, [])
        return said


def child_of_a_reader(path: Path, call: Callable[[Index], Any]) -> Any:
    make(path).close()
    with Index.open(path, encoder=ENCODER) as index:
        said = in_child(lambda: call(index))
        assert len(index) == LENGTH
        index.refresh()
        assert index.verify() == []
        return said


def child_of_a_change(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        said: list[Any] = []

        def stream() -> Iterator[dict[str, str]]:
            yield {"id": "first", "text": "a word"}
            said.append(in_child(lambda: call(index)))

        index.add(stream())
        assert (len(index), index.verify()) == (LENGTH + 1, [])
        return said[0]


def elsewhere(path: Path, call: Callable[[Index], Any]) -> Any:
    make(path).close()
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        index = Index.open(path.name, encoder=ENCODER)
        os.chdir("/")
        with index:
            return outcome(lambda: call(index))
    finally:
        os.chdir(before)


def moved(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        assert len(index) == LENGTH
        path.rename(path.with_name("moved"))
        said = outcome(lambda: call(index))
        assert not path.exists()
    with Index.open(path.with_name("moved"), encoder=ENCODER) as there:
        assert (len(there), there.verify()) == (LENGTH, [])
        return said


def deleted(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        assert len(index) == LENGTH
        shutil.rmtree(path)
        said = outcome(lambda: call(index))
        assert not path.exists()
        return said


def replaced(path: Path, call: Callable[[Index], Any]) -> Any:
    with make(path) as index:
        assert len(index) == LENGTH
        path.rename(path.with_name("moved"))
        Index.create(path, dim=3).close()
        files = sorted(file.relative_to(path) for file in path.rglob("*"))
        said = outcome(lambda: call(index))
        index.close()
        assert sorted(file.relative_to(path) for file in path.rglob("*")) == files
    with Index.open(path) as other:
        assert (len(other), other.dim, other.verify()) == (0, 3, [])
        return said


def exiting(path: Path, call: Callable[[Index], Any]) -> Any:
    make(path).close()
    (name,) = [name for name, one in CALLS.items() if one is call]
    code = f"""
        import atexit
        from polyvec import Index
        from tests.forking import outcome
        from tests.collection.test_states import CALLS, ENCODER
        index = None
        atexit.register(lambda: print(repr(outcome(lambda: CALLS[{name!r}](index)))))
        index = Index.open({str(path)!r}, encoder=ENCODER)
        index.delete(["unknown"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=PAGE.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    with Index.open(path, encoder=ENCODER) as index:
        assert index.add([{"id": "after", "text": "the lock is free"}]).added == 1
    return eval(done.stdout)


STATES = {
    "open": is_open,
    "inside a change of its own": inside,
    "closed": closed,
    "forked child, parent holds the lock": child_of_a_writer,
    "forked child, lock is free": child_of_a_reader,
    "forked child, parent was writing": child_of_a_change,
    "working directory changed": elsewhere,
    "folder moved": moved,
    "folder deleted": deleted,
    "folder replaced by another index": replaced,
    "process is exiting": exiting,
}


def test_the_table_names_every_state_and_call() -> None:
    rows = list(table())
    assert {state for state, _, _ in rows} == STATES.keys()
    assert {call for _, call, _ in rows} == CALLS.keys()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("state", "call", "expected"), list(table()))
def test_a_call_in_a_state(tmp_path: Path, state: str, call: str, expected: str) -> None:
    if "forked" in state and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    if state == "process is exiting" and call not in ("search", "add", "compact", "close"):
        pytest.skip("a process for each call takes long: some of them stand for all")
    said = STATES[state](tmp_path / "index", CALLS[call])
    if expected == "works":
        assert said == RESULTS[call]
    else:
        assert isinstance(said, str)
        assert said.startswith(f"{expected}: ")
        assert "\n" not in said
        assert str(tmp_path) in said
