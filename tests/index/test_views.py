"""What a reader sees: one state a search, moved on by refresh or by itself, whoever writes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from polyvec import Index
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index import format as index_format
from tests.conftest import WordEncoder

DIM = 8


def unit(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.create(tmp_path / "v", dim=DIM) as index:
        index.add_vectors(["a"], [unit(0)])
    return tmp_path / "v"


def found(index: Index) -> list[str]:
    return [hit.id for hit in index.search_vectors(unit(0), k=100)]


def test_auto_refresh_follows_every_commit(path: Path) -> None:
    with Index.open(path) as writer, Index.open(path) as still, Index.open(path, auto_refresh=True) as moving:
        writer.add_vectors(["b"], [unit(1)])
        assert (len(moving), len(still)) == (2, 1)
        writer.delete(["a"])
        assert found(moving) == ["b"]
        writer.compact()
        assert found(moving) == ["b"]
        assert "a" not in moving
        assert found(still) == ["a"]
        still.refresh()
        assert found(still) == ["b"]


def before_it_is_opened(monkeypatch: pytest.MonkeyPatch, suffix: str, do: Callable[[Path], object]) -> None:
    """`do` happens between the moment when a reader knows of the first file of a kind, and when it opens it."""
    opened = index_format._opened
    calls: list[Path] = []

    def late(file: Path) -> BinaryIO:
        if file.suffix == suffix and not calls:
            calls.append(file)
            do(file)
        return opened(file)

    monkeypatch.setattr(index_format, "_opened", late)


@pytest.mark.parametrize("suffix", [".seg", ".codec"])
@pytest.mark.parametrize("opened", ["open", "refresh"])
def test_a_file_that_a_writer_removes_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, opened: str
) -> None:
    path = tmp_path / "v"
    with Index.create(path, dim=DIM, nbits=4) as writer, Index.open(path) as index:
        writer.add_vectors([f"n{i}" for i in range(1500)], [unit(i) for i in range(1500)])
        writer.compact(retrain=True)

        def go_on(file: Path) -> None:
            writer.add_vectors(["b"], [unit(1)])
            writer.compact(retrain=True)
            file.unlink(missing_ok=True)

        before_it_is_opened(monkeypatch, suffix, go_on)
        if opened == "refresh":
            index.refresh()
            assert len(index) == 1501
        else:
            with Index.open(path) as another:
                assert len(another) == 1501


@pytest.mark.parametrize("suffix", [".seg", ".codec"])
def test_a_file_that_is_gone_for_good_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    with Index.create(tmp_path / "v", dim=DIM, nbits=4) as index:
        index.add_vectors([f"n{i}" for i in range(1500)], [unit(i) for i in range(1500)])
        index.compact(retrain=True)
    before_it_is_opened(monkeypatch, suffix, Path.unlink)
    with pytest.raises(IndexCorruptError, match=rf"{suffix} is missing, though the catalog lists it\. Restore it"):
        Index.open(tmp_path / "v")


def test_auto_refresh_opens_nothing_while_nothing_happens(path: Path) -> None:
    with Index.open(path, auto_refresh=True) as index:
        before = index._view
        assert found(index) == ["a"]
        assert index._view is before


def test_what_is_being_read_stays_until_it_is_read(path: Path, encoder: WordEncoder) -> None:
    with Index.open(path) as index:
        index.add_vectors([f"n{i}" for i in range(700)], [unit(i) for i in range(700)])
        stream = index.documents()
        assert next(stream).id == "a"
        index.delete([f"n{i}" for i in range(700)])
        index.compact()
        assert [document.id for document in stream] == [f"n{i}" for i in range(700)]
        assert [document.id for document in index.documents()] == ["a"]


def test_a_closed_index_says_so(path: Path) -> None:
    index = Index.open(path, auto_refresh=True)
    index.close()
    index.close()
    for call in (lambda: found(index), lambda: len(index), index.refresh, index.verify):
        with pytest.raises(StorageError, match="the index is closed"):
            call()


def test_threads_search_one_index_while_it_changes(path: Path) -> None:
    """Every document is replaced at once, over and over: a search must find each of them, all of one age."""
    names = [f"d{i}" for i in range(5)]
    errors: list[str] = []
    done = threading.Event()
    with Index.open(path) as index:
        index.delete(["a"])
        index.add_vectors(names, [unit(i) for i in range(5)], metadata=[{"age": 0}] * 5)

        def approximate_scores() -> None:
            while not done.is_set():
                hits = index.search_vectors(unit(0), k=10, threads=1)
                ages = {hit.metadata["age"] for hit in hits}
                if len(hits) != 5 or len(ages) != 1:
                    errors.append(f"{[hit.id for hit in hits]} of ages {ages}")

        threads = [threading.Thread(target=approximate_scores) for _ in range(4)]
        for thread in threads:
            thread.start()
        for age in range(1, 25):
            vectors = [unit(i) for i in range(5)]
            index.add_vectors(names, vectors, metadata=[{"age": age}] * 5, existing="replace")
            if age % 8 == 0:
                index.compact()
        done.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert index.verify() == []


def test_the_log_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvec.index.session._LOG_BYTES", 200_000)
    with Index.open(path) as index:
        for i in range(40):
            index.add_vectors([f"n{i}"], [unit(i)], metadata=[{"long": "x" * 20_000}])
        assert (path / "catalog.sqlite-wal").stat().st_size < 500_000
        assert len(index) == 41
