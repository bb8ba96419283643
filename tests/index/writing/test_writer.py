"""After a change that failed, an index is what it was before, for the object that failed too."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.data import Document
from polyvec.errors import IndexLockedError, InputError, StorageError
from polyvec.index.catalog.database import Database
from polyvec.index.writing.arrivals import Arrival
from polyvec.index.writing.writer import Writer

DIM = 8


class Own(Exception):
    """An exception that polyvec knows nothing of."""


def unit(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def failing(ids: list[str], error: BaseException) -> Iterator[str]:
    yield from ids
    raise error


@pytest.mark.parametrize(
    "error",
    [
        Own("mine"), ValueError("mine"),
        sqlite3.DatabaseError("file is not a database"), sqlite3.OperationalError("no such table: a"),
        sqlite3.ProgrammingError("Cannot operate on a closed database."), KeyboardInterrupt(), GeneratorExit(), SystemExit(3),
        MemoryError(), OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_a_stream_raises_comes_out_as_it_is(tmp_path: Path, error: BaseException) -> None:
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors(["a", "b"], [unit(0), unit(1)])
        with pytest.raises(type(error)) as raised:
            index.add_vectors(failing(["a", "c"], error), map(unit, range(2, 9)), existing="replace")
        assert raised.value is error
        index.add_vectors(["b"], [unit(9)], existing="replace")
        assert index.verify() == []
        assert sorted(hit.id for hit in index.search_vectors(unit(0))) == ["a", "b"]
        assert list((tmp_path / "i" / "segments").glob("*.tmp")) == []


Change = tuple[str, list[int], bool]
changes: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(
        st.sampled_from(["replace", "skip", "delete", "compact"]),
        st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True),
        st.booleans(),
    ),
    min_size=3,
    max_size=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes)
def test_failed_changes_leave_no_trace_in_later_ones(steps: list[Change]) -> None:
    """Each change may fail in its stream; whatever comes next, the index holds what a dictionary holds."""
    held: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "i", dim=DIM, nbits=16) as index:
        for version, (what, numbers, fails) in enumerate(steps, start=100):
            ids = [f"d{number}" for number in numbers]
            try:
                apply(index, what, ids, version, fails)
            except Own:
                continue
            if what == "delete":
                held = {name: old for name, old in held.items() if name not in ids}
            elif what != "compact":
                held.update({name: version for name in ids if what == "replace" or name not in held})
        assert index.verify() == []
        assert {document.id: document.metadata["v"] for document in index.documents()} == held
        for name, version in held.items():
            assert version in [hit.metadata["v"] for hit in index.search_vectors(unit(version), k=1)]
            assert name in [hit.id for hit in index.search_vectors(unit(version), k=8)]


def apply(index: Index, what: Any, ids: list[str], version: int, fails: bool) -> None:
    stream = failing(ids, Own()) if fails else iter(ids)
    if what == "delete":
        index.delete(stream)
    elif what == "compact":
        index.compact()
    else:
        count = 9 if fails else len(ids)
        index.add_vectors(stream, [unit(version)] * count, metadata=[{"v": version}] * count, existing=what)


def interrupted_at(calls: list[int], at: int, after: bool, real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, with a KeyboardInterrupt before or after its at-th call."""

    def instead(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at and not after:
            raise KeyboardInterrupt
        result = real(*arguments, **named)
        if calls[0] == at and after:
            raise KeyboardInterrupt
        return result

    return instead


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Database, "_commit"),
        (Writer, "_append"),
        (Writer, "_retire"),
        (Writer, "keep_up"),
        (Writer, "_check"),
        (Writer, "_opened"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_an_interrupt_anywhere_leaves_all_or_nothing_and_the_index_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, after: bool
) -> None:
    for at in (1, 2):
        with Index.create(tmp_path / f"i{at}", dim=DIM) as index:
            index.add_vectors(["a", "b"], [unit(0), unit(1)])
            assert len(index) == 2
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, interrupted_at([0], at, after, getattr(owner, name)))
                with contextlib.suppress(KeyboardInterrupt):
                    index.add_vectors(["b", "c"], [unit(2), unit(3)], existing="replace")
            with Index.open(tmp_path / f"i{at}") as other:
                assert [d.id for d in index.documents()] == [d.id for d in other.documents()]
            index.add_vectors(["a"], [unit(4)], existing="replace")
            assert index.verify() == []


def test_a_change_inside_a_change_is_refused_and_the_outer_one_can_go_on(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", dim=DIM) as index:

        def stream() -> Iterator[str]:
            yield "a"
            for call in (
                lambda: index.add_vectors(["x"], [unit(1)]),
                lambda: index.delete(["a"]),
                index.compact,
                index.close,
            ):
                with pytest.raises(IndexLockedError, match="while this thread is adding"):
                    call()
            assert len(index) == 0
            yield "b"

        index.add_vectors(stream(), [unit(0), unit(1)])
        assert (len(index), index.verify()) == (2, [])


def test_a_writer_notices_that_its_lock_file_was_removed(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors(["a"], [unit(0)])
        (tmp_path / "i" / "writer.lock").unlink()
        with Index.open(tmp_path / "i") as other:
            other.add_vectors(["b"], [unit(1)])
            with pytest.raises(StorageError, match="lock file"):
                index.add_vectors(["c"], [unit(2)])
        with Index.open(tmp_path / "i") as reader:
            assert (len(reader), reader.verify()) == (2, [])


def test_files_that_no_writer_made_are_left_alone(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors(["a"], [unit(0)])
    folder = tmp_path / "i" / "segments"
    for name in ("notes.txt", "00000077.seg", "00000078.seg.123.tmp"):
        (folder / name).write_text("mine")
    with Index.open(tmp_path / "i") as index:
        index.add_vectors(["b"], [unit(1)])
        assert index.verify() == []
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "00000077.seg").exists()
    assert not (folder / "00000078.seg.123.tmp").exists()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    Index.create(tmp_path / "i", dim=4).close()
    made = Writer(tmp_path / "i")
    yield made
    made.close()


def documents(*ids: str) -> Iterator[Document]:
    return (Document(one, f"text of {one}") for one in ids)


def lengths(stream: Iterator[Document]) -> Iterator[Arrival]:
    """As many vectors as the id has letters."""
    for document in stream:
        vectors = np.tile(np.eye(1, 4, dtype=np.float32), (len(document.id), 1))
        yield Arrival(document=document, vectors=vectors, truncated=len(document.id) > 2)


def test_the_report_says_what_one_call_did(writer: Writer) -> None:
    report = writer.add(documents("a", "bb", "ccc"), lengths, "error")
    assert (report.added, report.replaced, report.skipped, report.tokens, report.truncated) == (3, 0, 0, 6, 1)
    report = writer.add(documents("bb", "dd"), lengths, "replace")
    assert (report.added, report.replaced, report.skipped, report.tokens) == (1, 1, 0, 4)
    assert writer.add(documents(), lengths, "error").added == 0
    assert len(writer.catalog) == 4


def test_what_is_skipped_is_never_encoded(writer: Writer) -> None:
    writer.add(documents("a", "bb"), lengths, "error")
    seen: list[str] = []

    def watched(stream: Iterator[Document]) -> Iterator[Arrival]:
        for arrival in lengths(stream):
            seen.append(arrival.document.id)
            yield arrival

    report = writer.add(documents("a", "x", "bb"), watched, "skip")
    assert (seen, report.added, report.skipped) == (["x"], 1, 2)


@pytest.mark.parametrize("ids", [("new", "a"), ("new", "new"), ("new", "other", "new")])
def test_a_refused_id_undoes_the_call(writer: Writer, ids: tuple[str, ...]) -> None:
    writer.add(documents("a"), lengths, "error")
    with pytest.raises(InputError, match="Nothing of this call was added"):
        writer.add(documents(*ids), lengths, "error")
    assert [document.id for document in writer.catalog.all_documents()] == ["a"]
    assert writer.add(documents("new", "other"), lengths, "error").added == 2


def test_a_failing_encoder_undoes_the_call(writer: Writer) -> None:
    def broken(stream: Iterator[Document]) -> Iterator[Arrival]:
        yield next(lengths(stream))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.add(documents("a", "bb"), broken, "error")
    assert len(writer.catalog) == 0
    assert writer.add(documents("a", "bb"), lengths, "error").added == 2
