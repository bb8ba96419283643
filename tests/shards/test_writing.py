"""What is left where a process or a disk fails between the commits of two shards, and how a call is completed then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from polyvec import Shards
from polyvec.encoder import batches
from polyvec.errors import InputError, ModelError, StorageError
from polyvec.index.catalog.catalog import Catalog
from polyvec.shards import writing
from tests.conftest import WordEncoder
from tests.encoder.test_in_processes import Moody
from tests.shards.conftest import Both
from tests.shards.corpus import document, documents
from tests.shards.same import assert_same

KILLED = """
import os, signal, sys
from polyvec import Shards
from polyvec.index.catalog.catalog import Catalog
from tests.conftest import WordEncoder
from tests.shards.corpus import documents

whole, commits = Catalog._commit, []

def commit(self):
    commits.append(self)
    if len(commits) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self)

shards = Shards.open(sys.argv[1], encoder=WordEncoder())
with shards._session.writing():
    pass
Catalog._commit = commit
shards.update(documents(80, first=60, seed=8))
"""


def _completed(both: Both, shards: Shards) -> int:
    """Hold every document against the old and the new one, then complete the call. Returns how many were new already."""
    assert all("writing calls that changed it. Where the last call was cut off" in line for line in shards.verify())
    old = {d.id: d for d in both.index.documents()}
    new = {f"d{n}": document(n, seed=8)["text"] for n in range(60, 140)}
    there = list(shards.documents())
    assert len({d.id for d in there}) == len(there)
    assert old.keys() <= {d.id for d in there}
    done = 0
    for one in there:
        assert one.text in (old[one.id].text if one.id in old else None, new.get(one.id))
        done += one.text == new.get(one.id)
    for collection in (shards, both.index):
        collection.update(documents(80, first=60, seed=8))
    assert_same(shards, both.index, ["green tea"])
    assert shards.verify() == []
    return done


def test_readers_never_see_half_a_call(both: Both) -> None:
    ids = [f"d{n}" for n in range(120)]
    ended = threading.Event()

    def write() -> None:
        try:
            for version in range(12):
                both.shards.update_metadata({name: {"version": version} for name in ids})
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    with Shards.open(both.shards.path, auto_refresh=True) as reader:
        writer.start()
        while not ended.is_set():
            for one in (reader, both.shards):
                assert len({document.metadata.get("version") for document in one.scan()}) == 1
        writer.join()
        assert {document.metadata["version"] for document in reader.scan()} == {11}


def test_rows_that_run_out(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_ROWS", 4 * 130)
    both.shards.add(documents(10, first=200))
    with pytest.raises(StorageError, match="130 documents"):
        both.shards.add(documents(1, first=300))
    both.shards.delete(["d1"])
    assert len(both.shards) == 129


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_disk_that_fails_between_two_commits(both: Both, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    whole, commits = Catalog._commit, []

    def commit(self: Catalog) -> None:
        commits.append(self)
        if len(commits) == at:
            raise StorageError("the disk is gone")
        whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "_commit", commit)
        with pytest.raises(StorageError, match="the disk is gone"):
            both.shards.update(documents(80, first=60, seed=8))
    done = _completed(both, both.shards)
    assert (done > 10) == (at > 1)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
@pytest.mark.parametrize("at", [1, 3])
def test_a_process_that_is_killed_between_two_commits(both: Both, at: int) -> None:
    both.shards.close()
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    command = [sys.executable, "-c", KILLED, str(both.shards.path), str(at)]
    ended = subprocess.run(command, env=environment, check=False, cwd=root)
    assert ended.returncode == -signal.SIGKILL
    with Shards.open(both.shards.path, encoder=WordEncoder()) as shards:
        _completed(both, shards)


def test_several_processes_store_the_same(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_WINDOW_TEXTS", 8)
    wanted = both.index.add(documents(90, first=300))
    seen: list[int] = []
    assert both.shards.add(documents(90, first=300), processes=3, progress=seen.append) == wanted
    assert sum(seen) == 90
    assert both.shards.update(documents(5, first=300, seed=4), processes=2) == both.index.update(
        documents(5, first=300, seed=4), processes=2
    )
    assert_same(*both, questions=["green tea", "京"])
    assert both.shards.verify() == []
    for wrong in (0, 257, True, 1.5, "2"):
        with pytest.raises(InputError, match="processes="):
            both.shards.add(documents(1, first=900), processes=wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_a_killed_process_leaves_everything_as_it_was(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_WINDOW_TEXTS", 8)
    before = sorted(path.name for path in both.shards.path.rglob("*.seg"))
    both.shards.close()
    with Shards.open(both.shards.path, encoder=Moody()) as shards:
        with pytest.raises(ModelError, match="ended early"):
            shards.update([*documents(60, seed=8), {"id": "last", "text": "die"}], processes=2)
        assert sorted(path.name for path in shards.path.rglob("*.seg")) == before
        assert_same(shards, both.index, ["green tea"])
        assert shards.verify() == []
        assert shards.add(documents(1, first=900)).added == 1
