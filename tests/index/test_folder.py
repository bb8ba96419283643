"""New indexes in odd places, copies, read-only folders, and files that do not belong to an index: right, or one clear error."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.collection.repair import repair_index
from polyvec.errors import IndexCorruptError, InputError, PolyvecError, StorageError

DIM = 8
LOG = "catalog.sqlite-wal"


def vectors(seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def add(index: Index, *names: str) -> None:
    index.add_vectors(names, [vectors(sum(name.encode())) for name in names])


def ids(path: Path) -> list[str]:
    with Index.open(path) as index:
        assert index.verify() == []
        return [document.id for document in index.documents()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Index.create(tmp_path / "i", dim=DIM) as index:
        add(index, "a", "b")
    return tmp_path / "i"


# -- creating ------------------------------------------------------------------------------------------------------------


def _plain(base: Path) -> Path:
    return base / "new"


def _empty(base: Path) -> Path:
    (base / "new").mkdir()
    return base / "new"


def _link(base: Path) -> Path:
    (base / "link").symlink_to(_empty(base))
    return base / "link"


def _dangling(base: Path) -> Path:
    (base / "link").symlink_to(base / "later")
    return base / "link"


def _here(base: Path) -> Path:
    os.chdir(_empty(base))
    return Path()


def _nested(base: Path) -> Path:
    return base / "one" / "two" / "three"


def _long(base: Path) -> Path:
    return base / ("x" * 255)


def _of_the_system(base: Path) -> Path:
    place = _empty(base)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._x"):
        (place / name).write_text("x")
    (place / "lost+found").mkdir()
    return place


def _begun_before(base: Path) -> Path:
    place = _empty(base)
    (place / ".creating" / "segments").mkdir(parents=True)
    (place / ".creating" / "catalog.sqlite").write_text("half")
    (place / "segments").mkdir()
    (place / "writer.lock").write_text("")
    return place


@pytest.mark.parametrize(
    "place",
    [_plain, _empty, _link, _dangling, _here, _nested, _long, _of_the_system, _begun_before],
    ids=lambda p: p.__name__,
)
def test_an_index_is_made_where_it_can_be(
    place: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = place(tmp_path)
    with Index.create(where, dim=DIM) as index:
        add(index, "a")
    assert ids(where) == ["a"]
    assert not (where / ".creating").exists()
    with pytest.raises(StorageError, match="an index is there already"):
        Index.create(where, dim=DIM)
    assert ids(where) == ["a"]


def _file(base: Path) -> Path:
    (base / "new").write_text("x")
    return base / "new"


def _below_a_file(base: Path) -> Path:
    return _file(base) / "below"


def _too_long(base: Path) -> Path:
    return base / ("x" * 256)


def _circle(base: Path) -> Path:
    (base / "link").symlink_to(base / "link")
    return base / "link"


def _zero_byte(base: Path) -> Path:
    return base / "a\0b"


def _notes(base: Path) -> Path:
    place = _empty(base)
    (place / "notes.txt").write_text("x")
    return place


def _repository(base: Path) -> Path:
    place = _empty(base)
    (place / ".git").mkdir()
    return place


def _others_segments(base: Path) -> Path:
    place = _empty(base)
    (place / "segments").mkdir()
    (place / "segments" / "00000001.seg").write_text("x")
    return place


@pytest.mark.parametrize(
    "place", [_file, _below_a_file, _too_long, _circle, _zero_byte, _notes, _repository, _others_segments],
    ids=lambda p: p.__name__,
)  # fmt: skip
def test_elsewhere_one_line_says_why(place: Callable[[Path], Path], tmp_path: Path) -> None:
    where = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    no_path = place in (_too_long, _zero_byte)  # nothing that this system could hold
    with pytest.raises(
        InputError if no_path else StorageError, match="path=" if no_path else "Cannot create"
    ) as raised:
        Index.create(where, dim=DIM)
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_many_at_once_one_makes_it(tmp_path: Path) -> None:
    made: list[bool] = []
    barrier = threading.Barrier(6)

    def create() -> None:
        barrier.wait()
        try:
            Index.create(tmp_path / "i", dim=DIM).close()
            made.append(True)
        except PolyvecError:
            made.append(False)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 5 + [True]
    assert ids(tmp_path / "i") == []


# -- copying -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hard_links", [False, True])
def test_a_copy_is_an_index_of_its_own(path: Path, tmp_path: Path, hard_links: bool) -> None:
    seen: list[tuple[int, int]] = []
    (path / "segments" / "notes.txt").write_text("mine")
    with Index.open(path) as index:
        add(index, "c")
        index.delete(["a"])
        size = index.copy(
            tmp_path / "copy", hard_links=hard_links, progress=lambda done, all_: seen.append((done, all_))
        )
        assert size > 0
        assert seen[-1] == (size, size)
        add(index, "d")
    assert ids(tmp_path / "copy") == ["b", "c"]
    assert not (tmp_path / "copy" / "segments" / "notes.txt").exists()
    with Index.open(tmp_path / "copy") as copy:
        add(copy, "e")
        copy.compact()
    assert ids(tmp_path / "copy") == ["b", "c", "e"]
    assert ids(path) == ["b", "c", "d"]


def test_copies_beside_a_writer_are_states_that_were_committed(path: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with Index.open(path) as index:
            for number in range(2, 400):
                add(index, f"d{number}", f"e{number}")
                if number % 7 == 0:
                    index.compact()
                if stop.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with Index.open(path) as index:
            for number in range(8):
                index.copy(tmp_path / f"copy{number}")
    finally:
        stop.set()
        thread.join()
    for number in range(8):
        found = ids(tmp_path / f"copy{number}")
        assert len(found) % 2 == 0
        assert found[2:] == [name for n in range(2, len(found) // 2 + 1) for name in (f"d{n}", f"e{n}")]


def test_a_copy_of_a_damaged_index_is_refused_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    (segment,) = (path / "segments").glob("*.seg")
    content = bytearray(segment.read_bytes())
    with Index.open(path) as index:
        content[4100] ^= 1
        segment.write_bytes(content)
        with pytest.raises(IndexCorruptError, match="polyvec repair"):
            index.copy(tmp_path / "copy")
        for wrong in (path, path / "inside", segment):
            with pytest.raises(StorageError):
                index.copy(wrong)
    assert not (tmp_path / "copy").exists()


# -- SQLite's locks and log ----------------------------------------------------------------------------------------------

_WRITER = """
import os, shutil, subprocess, sys, numpy as np, polyvec
path, how = sys.argv[1:]
eye = np.eye(8, dtype="f4")
index = polyvec.Index.open(path)
index.add_vectors(["c"], [eye[:2]])
for number in range(3):
    shutil.copytree(path, f"{path}-{number}")
    others = "import polyvec, sys; polyvec.Index.open(sys.argv[1]).close()"
    if how == "sqlite":
        others = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1] + '/catalog.sqlite'); "
        others += "c.execute('SELECT 1 FROM meta'); c.close()"
    subprocess.run([sys.executable, "-c", others, path], check=True)
    index.add_vectors([f"d{number}"], [eye[2:4]])
print("stored", flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("how", ["polyvec", "sqlite"])
def test_copying_the_folder_in_the_writing_process_loses_nothing(path: Path, how: str) -> None:
    done = subprocess.run([sys.executable, "-c", _WRITER, str(path), how], check=False, capture_output=True, text=True)
    assert done.stdout == "stored\n", done.stderr
    assert done.returncode == -signal.SIGKILL
    assert ids(path) == ["a", "b", "c", "d0", "d1", "d2"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs locks that belong to descriptors")
def test_a_reader_that_copies_the_catalog_costs_no_commit(path: Path, tmp_path: Path) -> None:
    with Index.open(path) as reader:
        shutil.copy(path / "catalog.sqlite", tmp_path / "copied")  # drops SQLite's own locks of this process
        code = (
            "import polyvec, sys, numpy as np\n"
            "with polyvec.Index.open(sys.argv[1]) as index:\n"
            "    index.add_vectors(['c'], [np.eye(8, dtype='f4')[:2]])"
        )
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        reader.refresh()
        assert len(reader) == 3
    assert ids(path) == ["a", "b", "c"]


def _remove(log: Path) -> None:
    log.unlink()


def _rename(log: Path) -> None:
    log.rename(log.with_name("elsewhere"))


def _empty_log(log: Path) -> None:
    log.unlink()
    log.touch()


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed")
@pytest.mark.parametrize("harm", [_remove, _rename, _empty_log], ids=lambda harm: harm.__name__)
def test_a_log_that_somebody_removes_costs_nothing_that_was_stored(path: Path, harm: Callable[[Path], None]) -> None:
    index = Index.open(path)
    add(index, "c")
    harm(path / LOG)
    with pytest.raises(StorageError, match="removed or replaced"):
        add(index, "d")
    assert ids(path) == ["a", "b", "c"]
    index.close()
    with Index.open(path) as again:
        add(again, "e")
    assert ids(path) == ["a", "b", "c", "e"]


# -- reading without write permission ------------------------------------------------------------------------------------


def without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make readers of this process find a folder in which they can create nothing and no file for shared locks."""
    from polyvec.index.catalog import sqlite_file

    opened = sqlite_file._open

    def refusing(where: Path, database: str) -> sqlite_file.SQLiteFile:
        if where.parent == path and database.endswith("mode=ro"):
            raise sqlite3.OperationalError("unable to open database file")
        return opened(where, database)

    monkeypatch.setattr(sqlite_file, "_open", refusing)


_CHANGE = """
import polyvec, sys, numpy as np
with polyvec.Index.open(sys.argv[1]) as index:
    index.add_vectors([f"n{i}" for i in range(200)], [np.eye(8, dtype="f4")[:2]] * 200)
    index.delete(["a"])
    index.compact()
"""


@pytest.mark.parametrize("auto_refresh", [False, True])
def test_a_reader_without_locks_is_right_or_refuses(
    path: Path, monkeypatch: pytest.MonkeyPatch, auto_refresh: bool
) -> None:
    without_locks(path, monkeypatch)
    with Index.open(path, auto_refresh=auto_refresh) as reader:
        assert [d.id for d in reader.documents()] == ["a", "b"]
        subprocess.run([sys.executable, "-c", _CHANGE, str(path)], check=True)
        if not auto_refresh:
            with pytest.raises(StorageError, match="a writer has changed the index"):
                reader.get(["a"])
            reader.refresh()
        assert len(reader) == 201
        assert reader.get(["a"]) == [None]
        assert reader.search_vectors(vectors(ord("b")), k=1)[0].id == "b"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_log_left_by_a_crash_is_read_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, polyvec, sys, numpy as np\n"
        "i = polyvec.Index.open(sys.argv[1]); i.add_vectors(['c'], [np.eye(8, dtype='f4')[:2]]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    (path / "catalog.sqlite-shm").unlink()
    assert (path / LOG).stat().st_size
    without_locks(path, monkeypatch)
    assert ids(path) == ["a", "b", "c"]
    assert not (path / "catalog.sqlite-shm").exists()


# -- what does not belong, and what is missing ---------------------------------------------------------------------------


def test_what_is_not_ours_is_left_alone(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = path / "segments"
    (segments / "00000099.seg").mkdir()
    (segments / ".DS_Store").write_text("x")
    (segments / "00000001 (conflicted copy).seg").write_text("x")
    (segments / "00000098.seg").symlink_to(tmp_path)
    (segments / "notes").mkdir()
    (path / "README").write_text("mine")
    sockets = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(segments)  # the names of sockets are short
    sockets.bind("socket")
    monkeypatch.chdir(tmp_path)
    before = sorted(file.relative_to(path) for file in path.rglob("*"))
    with Index.open(path) as index:
        add(index, "c")
        index.compact()
        assert index.info()["unlisted_files"] == 0
        index.copy(tmp_path / "copy")
    assert repair_index(path).actions == []
    sockets.close()
    after = sorted(file.relative_to(path) for file in path.rglob("*"))
    assert {file for file in before if not file.name.endswith(".seg") or "0000009" in file.name} <= set(after)
    assert ids(path) == ["a", "b", "c"]
    assert ids(tmp_path / "copy") == ["a", "b", "c"]


def test_files_of_a_newer_catalog_are_moved_not_removed(path: Path, tmp_path: Path) -> None:
    with Index.open(path) as index:
        index.copy(tmp_path / "old")
        for number in range(3):
            index.add_vectors([f"n{number}-{i}" for i in range(500)], [vectors(i) for i in range(500)])
    newer = {file.name: file.read_bytes() for file in (path / "segments").iterdir()}
    shutil.copy(tmp_path / "old" / "catalog.sqlite", path / "catalog.sqlite")
    for file in (tmp_path / "old" / "segments").iterdir():
        shutil.copy(file, path / "segments" / file.name)
    with Index.open(path) as index:
        add(index, "c")
        assert index.info()["damaged_files"] > 0
    kept = {file.read_bytes() for file in (path / "damaged").iterdir()}
    listed = {file.read_bytes() for file in (path / "segments").iterdir()}
    old = {file.read_bytes() for file in (tmp_path / "old" / "segments").iterdir()}
    assert set(newer.values()) <= kept | listed | old
    assert ids(path) == ["a", "b", "c"]


def _no_segments(path: Path) -> None:
    shutil.rmtree(path / "segments")


def _lock_is_a_folder(path: Path) -> None:
    (path / "writer.lock").unlink()
    (path / "writer.lock").mkdir()


def _catalog_is_a_folder(path: Path) -> None:
    (path / "catalog.sqlite").unlink()
    (path / "catalog.sqlite").mkdir()


def _segment_is_a_folder(path: Path) -> None:
    (segment,) = (path / "segments").glob("*.seg")
    segment.unlink()
    segment.mkdir()


def _segments_is_a_file(path: Path) -> None:
    shutil.rmtree(path / "segments")
    (path / "segments").write_text("x")


@pytest.mark.parametrize(
    "harm", [_no_segments, _lock_is_a_folder, _catalog_is_a_folder, _segment_is_a_folder, _segments_is_a_file],
    ids=lambda harm: harm.__name__,
)  # fmt: skip
def test_what_is_missing_is_one_clear_error(path: Path, harm: Callable[[Path], None]) -> None:
    harm(path)
    for call in (Index.verify, Index.info, lambda index: add(index, "c"), Index.compact):
        try:
            with Index.open(path) as index:
                call(index)
        except PolyvecError as error:
            assert "\n" not in str(error)  # noqa: PT017
    try:
        lost = repair_index(path).lost
        assert set(ids(path)) | set(lost) >= {"a", "b"}
    except PolyvecError as error:
        assert "\n" not in str(error)  # noqa: PT017
