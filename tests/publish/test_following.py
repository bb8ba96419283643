"""A folder that follows what is published, while an index that is open in it answers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.errors import InputError, StorageError
from polyvec.publish import Follower, Pulled, follow, prune, publish
from polyvec.publish.manifest import Manifest
from tests.conftest import WordEncoder
from tests.publish.indexes import answers, answers_at, cut_at, documents, make_index


@pytest.fixture
def source(tmp_path: Path, encoder: WordEncoder) -> Path:
    return make_index(tmp_path / "a", documents(60), encoder)


@pytest.fixture
def url(tmp_path: Path, source: Path) -> str:
    publish(source, str(tmp_path / "store"))
    return str(tmp_path / "store")


def change(source: Path, url: str, encoder: WordEncoder, seed: int) -> list[object]:
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(20, seed=seed))
        publish(source, url)
        return answers(index)


def test_an_open_index_switches_between_queries(tmp_path: Path, source: Path, url: str, encoder: WordEncoder) -> None:
    came = threading.Event()
    pulled: list[Pulled] = []

    def note(done: Pulled) -> None:
        pulled.append(done)
        came.set()

    with follow(url, tmp_path / "b", every_s=0.02, on_pull=note) as follower:
        assert follower.version == 1
        with Index.open(tmp_path / "b", encoder=encoder, auto_refresh=True) as reader:
            assert answers(reader) == answers_at(source, encoder)
            for seed in (1, 2, 3):
                came.clear()
                expected = change(source, url, encoder, seed)
                assert came.wait(60)
                assert answers(reader) == expected
    assert [done.version for done in pulled] == [1, 2, 3, 4]
    assert follower.version == 4
    follower.close()


def test_what_is_not_new_is_not_read_again(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(url, tmp_path / "b")
    assert follower.check() is not None
    with cut_at(monkeypatch, 10**9) as seen:
        assert follower.check() is None
    assert seen == ["list versions/", "read versions/000000000001.json"]


def test_a_failure_is_told_and_tried_again(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    follower = Follower(url, tmp_path / "b", every_s=0.02)
    follower.check()
    expected = change(source, url, encoder, 1)
    failed = threading.Event()
    real = Follower.check

    def check(self: Follower) -> Pulled | None:
        if self.problem is not None:
            failed.set()
        return real(self)

    monkeypatch.setattr(Follower, "check", check)
    with cut_at(monkeypatch, 1):
        follower.start()
        assert failed.wait(60)
        assert isinstance(follower.problem, StorageError)
    done = threading.Event()
    follower._on_pull = lambda _: done.set()
    assert done.wait(60)
    follower.close()
    assert follower.problem is None
    assert "still at version 1: Cannot list" in caplog.text
    assert answers_at(tmp_path / "b", encoder) == expected


def test_a_reader_far_behind_gets_the_newest(tmp_path: Path, source: Path, url: str, encoder: WordEncoder) -> None:
    follower = Follower(url, tmp_path / "b")
    follower.check()
    for seed in (1, 2, 3):
        expected = change(source, url, encoder, seed)
    prune(url, keep=1, grace_s=0)
    done = follower.check()
    assert done is not None
    assert done.version == 4
    assert answers_at(tmp_path / "b", encoder) == expected


def test_a_version_that_is_pruned_while_it_is_pulled(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[object] = []
    real = Follower._pulled

    def late(self: Follower, manifest: Manifest) -> Pulled:
        expected[:] = change(source, url, encoder, 9)
        with Index.open(source, encoder=encoder) as index:
            index.compact()
            publish(source, url)
            expected[:] = answers(index)
        prune(url, keep=1, grace_s=0)
        return real(self, manifest)

    monkeypatch.setattr(Follower, "_pulled", late)
    done = Follower(url, tmp_path / "b").check()
    assert done is not None
    assert done.version == 3
    assert answers_at(tmp_path / "b", encoder) == expected


def test_a_place_that_is_begun_anew_is_noticed(tmp_path: Path, source: Path, url: str, encoder: WordEncoder) -> None:
    follower = Follower(url, tmp_path / "b")
    follower.check()
    (tmp_path / "store" / "versions" / "000000000001.json").unlink()
    with pytest.raises(StorageError, match=r"Nothing is published"):
        follower.check()
    expected = change(source, url, encoder, 5)  # another version 1
    done = follower.check()
    assert done is not None
    assert answers_at(tmp_path / "b", encoder) == expected


def test_what_is_given_is_checked(tmp_path: Path, url: str) -> None:
    for every_s in (0, -1, float("nan"), 10**6):
        with pytest.raises(InputError, match="every_s="):
            Follower(url, tmp_path / "b", every_s=every_s)
    with pytest.raises(InputError, match="on_pull="):
        follow(url, tmp_path / "b", on_pull=3)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=r"Nothing is published"):
        follow(str(tmp_path / "empty"), tmp_path / "b")
