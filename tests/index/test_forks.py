"""One Index in two processes: forks, locks, garbage collection and the end of the process."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.errors import IndexLockedError, InputError, StorageError
from tests.forking import in_child

DIM = 16
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def unit(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((4, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.create(tmp_path / "i", dim=DIM) as index:
        index.add_vectors([f"d{i}" for i in range(300)], [unit(i) for i in range(300)])
    return tmp_path / "i"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@forks
def test_a_child_keeps_its_state_after_the_parent_closed_and_others_wrote(path: Path) -> None:
    index = Index.open(path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os.read(reading, 1)
        os._exit(0 if index.search_vectors(unit(0), k=1)[0].id == "d0" and len(index) == 300 else 1)
    index.close()
    code = "import polyvec, sys; i = polyvec.Index.open(sys.argv[1]); i.delete([f'd{n}' for n in range(0, 300, 2)]); i.compact()"
    assert run(code, str(path)).returncode == 0
    os.write(writing, b"x")
    assert os.waitpid(child, 0)[1] == 0


@forks
def test_children_that_are_forked_while_threads_search_and_write_do_not_hang(path: Path) -> None:
    done = threading.Event()

    def search(index: Index) -> None:
        while not done.is_set():
            index.search_vectors(unit(5), k=3)
            index.get(["d1", "d2"])

    def write(index: Index) -> None:
        number = 0
        while not done.is_set():
            index.add_vectors([f"n{number}"], [unit(number)])
            number += 1

    with Index.open(path) as index:
        threads = [threading.Thread(target=search, args=[index]) for _ in range(2)]
        threads.append(threading.Thread(target=write, args=[index]))
        for thread in threads:
            thread.start()
        try:
            said = [in_child(lambda: index.search_vectors(unit(7), k=1)[0].id) for _ in range(15)]
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert "hangs" not in said
        assert all(one == "d7" or one.startswith("StorageError") for one in said)
        assert index.verify() == []


@forks
def test_two_processes_that_write_at_once_are_one_writer_and_one_that_is_refused(tmp_path: Path) -> None:
    for turn in range(8):
        index = Index.create(tmp_path / str(turn), dim=DIM)
        if turn % 2:
            index.add_vectors(["first"], [unit(0)])
        reading, writing = os.pipe()
        start = time.time() + 0.02
        child = os.fork()
        while time.time() < start:
            pass
        mine = "child" if child == 0 else "parent"
        try:
            index.add_vectors([mine], [unit(1)])
        except IndexLockedError:
            mine = ""
        if child == 0:
            os.write(writing, mine.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            names = {mine, pipe.read().decode(), "first" if turn % 2 else ""} - {""}
        os.waitpid(child, 0)
        index.close()
        with Index.open(tmp_path / str(turn)) as after:
            assert {document.id for document in after.documents()} == names
            assert after.verify() == []


@forks
@pytest.mark.parametrize("leaving", ["returns", "raises", "exits"])
def test_a_child_that_leaves_a_stream_changes_nothing_of_the_parents(path: Path, leaving: str) -> None:
    code = """
        import os, sys
        import numpy as np
        from polyvec import Index
        path, leaving = sys.argv[1:]
        parent = os.getpid()
        index = Index.open(path)
        def stream():
            for number in range(40):
                yield f"n{number}"
                if number == 20:
                    child = os.fork()
                    if child:
                        os.waitpid(child, 0)
                    elif leaving == "raises":
                        raise ValueError
                    elif leaving == "exits":
                        sys.exit(0)
        try:
            index.add_vectors(stream(), [np.ones((2000, 16), np.float32)] * 40)
        finally:
            if os.getpid() != parent:
                sys.exit(0)
        print(index.verify(), len(index))
    """
    done = run(code, str(path), leaving)
    assert done.stdout == "[] 340\n", done.stderr


@forks
def test_the_lock_is_free_after_close_though_a_child_lives(path: Path) -> None:
    index = Index.open(path)
    index.add_vectors(["a"], [unit(0)])
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        index.close()
        with Index.open(path) as other:
            other.add_vectors(["b"], [unit(1)])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@forks
def test_the_lock_is_free_after_the_parent_was_killed_though_a_child_lives(path: Path) -> None:
    code = """
        import os, sys, time
        import numpy as np
        from polyvec import Index
        index = Index.open(sys.argv[1])
        index.add_vectors(["a"], [np.ones((1, 16), np.float32)])
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """
    child = int(run(code, str(path)).stdout)
    try:
        with Index.open(path) as other:
            assert len(other) == 301
            other.add_vectors(["b"], [unit(1)])
    finally:
        os.kill(child, signal.SIGKILL)


@forks
def test_a_fork_that_python_is_not_told_of(path: Path) -> None:
    code = """
        import ctypes, os, sys
        import numpy as np
        from polyvec import Index
        index = Index.open(sys.argv[1])
        index.add_vectors(["a"], [np.ones((1, 16), np.float32)])
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            found = len(index)
            try:
                index.add_vectors(["child"], [np.ones((1, 16), np.float32)])
            except Exception as error:
                print(found, type(error).__name__, flush=True)
            sys.exit(0)
        os.waitpid(child, 0)
        index.add_vectors(["b"], [np.ones((1, 16), np.float32)])
        print(len(index), index.verify())
    """
    done = run(code, str(path))
    assert done.stdout == "301 IndexLockedError\n302 []\n", done.stderr


def test_the_lock_is_free_when_nobody_holds_the_index(path: Path) -> None:
    def write(name: str) -> None:
        hits = Index.open(path).add_vectors([name], [unit(0)])
        assert hits.added == 1

    for name in ("a", "b", "c"):
        write(name)
        gc.collect()
    with Index.open(path) as index:
        assert len(index) == 303


def test_a_block_that_raises_lets_go_of_the_lock(path: Path) -> None:
    with pytest.raises(KeyError), Index.open(path) as index:  # noqa: PT012
        index.delete(["d0"])
        raise KeyError("mine")
    with pytest.raises(StorageError, match="closed"):
        index.delete(["d1"])
    with Index.open(path) as other:
        assert other.delete(["d0", "d1"]) == 1


def test_threads_that_write_at_once_take_turns(path: Path) -> None:
    with Index.open(path) as index:
        threads = [
            threading.Thread(target=lambda n=n: [index.add_vectors([f"t{n}-{i}"], [unit(i)]) for i in range(5)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(index), index.verify()) == (320, [])


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_index_is_not_copied_as_an_object(path: Path, how: object) -> None:
    with Index.open(path) as index:
        with pytest.raises(InputError, match="Pass its path on"):
            how(index)  # type: ignore[operator]
        assert len(index) == 300


def test_daemon_threads_may_search_and_write_while_the_process_ends(path: Path) -> None:
    code = """
        import sys, threading, time
        import numpy as np
        from polyvec import Index
        index = Index.open(sys.argv[1])
        query = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
        def search():
            while True:
                index.search_vectors([query] * 3, k=3, threads=1)
        def write():
            for number in range(10**6):
                index.add_vectors([f"w{number}"], [query], existing="replace")
        for work in (search, search, search, write):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(.05)
    """
    for _ in range(8):
        done = run(code, str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Index.open(path) as index:
        assert index.verify() == []


def test_an_index_is_open_while_its_documents_are_read(path: Path) -> None:
    def stream() -> Iterator[str]:
        return (document.id for document in Index.open(path).documents())

    assert len(list(stream())) == 300
