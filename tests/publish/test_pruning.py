"""Old versions go after the grace time, and what only they had; what is listed or new stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.errors import InputError, StorageError
from polyvec.publish import prune, publish, pull
from tests.conftest import WordEncoder
from tests.publish.indexes import answers_at, documents, make_index


@pytest.fixture
def source(tmp_path: Path, encoder: WordEncoder) -> Path:
    return make_index(tmp_path / "a", documents(60), encoder)


def publish_versions(source: Path, url: str, encoder: WordEncoder, count: int) -> None:
    with Index.open(source, encoder=encoder) as index:
        for n in range(count):
            index.update(documents(60, seed=n))
            assert publish(source, url).new


def age(store: Path, seconds: float) -> None:
    """As if everything had been written longer ago."""
    for path in store.rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime - seconds
            os.utime(path, (moment, moment))


def test_versions_stay_for_the_grace_time(tmp_path: Path, source: Path, encoder: WordEncoder) -> None:
    url = str(tmp_path / "store")
    publish_versions(source, url, encoder, 3)
    assert prune(url, keep=1).versions == ()
    age(tmp_path / "store", 3600)
    publish_versions(source, url, encoder, 2)  # version 3 was replaced a moment ago, 1 and 2 an hour ago
    done = prune(url, keep=1, grace_s=1800)
    assert (done.versions, done.kept) == ((1, 2), (3, 4, 5))
    assert done.freed_bytes > 0
    for version in (3, 4, 5):
        pull(url, tmp_path / "b", version=version)
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    with pytest.raises(
        StorageError, match=r"There is no version 2 at .*: it was pruned, or never published. There is 3 to 5"
    ):
        pull(url, tmp_path / "b", version=2)
    assert prune(url, keep=2, grace_s=0).versions == (3,)
    assert prune(url, keep=2, grace_s=0).freed_bytes == 0
    pull(url, tmp_path / "c")


def test_numbers_go_on_after_pruning(tmp_path: Path, source: Path, encoder: WordEncoder) -> None:
    url = str(tmp_path / "store")
    publish_versions(source, url, encoder, 2)
    prune(url, keep=1, grace_s=0)
    with Index.open(source, encoder=encoder) as index:
        index.delete(["d1"])
    assert publish(source, url).version == 3


def test_files_that_no_version_lists_are_pruned_when_they_are_old(
    tmp_path: Path, source: Path, encoder: WordEncoder
) -> None:
    url = str(tmp_path / "store")
    publish(source, url)
    stray = tmp_path / "store" / "files" / ("0" * 64)
    stray.write_bytes(b"12345")
    assert prune(url).freed_bytes == 0
    hour_ago = time.time() - 2 * 86_400
    os.utime(stray, (hour_ago, hour_ago))
    assert prune(url).freed_bytes == 5
    pull(url, tmp_path / "b")


def test_what_is_old_and_unlisted_is_sent_again(tmp_path: Path, source: Path, encoder: WordEncoder) -> None:
    """Pruning may be about to delete it."""
    url = str(tmp_path / "store")
    publish(source, url)
    (tmp_path / "store" / "versions" / "000000000001.json").unlink()
    assert publish(source, url).sent_objects == 1  # the manifest alone: what an interrupted call sent is there
    (tmp_path / "store" / "versions" / "000000000001.json").unlink()
    age(tmp_path / "store", 86_400)
    assert publish(source, url).sent_objects == 4


def test_nothing_is_deleted_where_a_manifest_cannot_be_read(tmp_path: Path, source: Path, encoder: WordEncoder) -> None:
    url = str(tmp_path / "store")
    publish_versions(source, url, encoder, 3)
    (tmp_path / "store" / "versions" / "000000000002.json").write_text('{"layout": 9}')
    there = sorted(tmp_path.joinpath("store").rglob("*"))
    with pytest.raises(StorageError, match="has layout 9"):
        prune(url, keep=2, grace_s=0)
    assert [path for path in there if not path.exists()] == []


def test_what_is_given_is_checked(tmp_path: Path, source: Path) -> None:
    url = str(tmp_path / "store")
    publish(source, url)
    for wrong in ({"keep": 0}, {"keep": 1.5}, {"grace_s": -1}, {"grace_s": float("nan")}):
        with pytest.raises(InputError):
            prune(url, **wrong)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    assert prune(str(tmp_path / "empty")).kept == ()
    with pytest.raises(StorageError, match="other things are there"):
        prune(str(tmp_path))
