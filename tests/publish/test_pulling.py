"""Pulling: into a new folder, into one that others have open, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.errors import (
    IndexCorruptError,
    IndexLockedError,
    IndexReadOnlyError,
    InputError,
    ModelMismatchError,
    StorageError,
)
from polyvec.index.lock import WriterLock
from polyvec.publish import publish, pull
from tests.conftest import WordEncoder
from tests.publish.indexes import answers, answers_at, documents, make_index


@pytest.fixture
def source(tmp_path: Path, encoder: WordEncoder) -> Path:
    return make_index(tmp_path / "a", documents(200), encoder)


@pytest.fixture
def url(tmp_path: Path, source: Path) -> str:
    publish(source, str(tmp_path / "store"))
    return str(tmp_path / "store")


def test_open_readers_see_the_new_version_after_refresh(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder
) -> None:
    pull(url, tmp_path / "b")
    still = Index.open(tmp_path / "b", encoder=encoder)
    moving = Index.open(tmp_path / "b", encoder=encoder, auto_refresh=True)
    before = answers(still)
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(50, seed=3))
        index.compact()
        after = answers(index)
    publish(source, url)
    assert pull(url, tmp_path / "b").new
    assert before != after
    assert answers(still) == before
    assert answers(moving) == after
    still.refresh()
    assert answers(still) == after
    assert still.verify() == []
    still.close()
    moving.close()


def test_an_index_built_anew_takes_the_place_of_another(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder
) -> None:
    pull(url, tmp_path / "b")
    other = make_index(tmp_path / "o", documents(100, seed=9), encoder)  # its files have the same names
    with Index.open(tmp_path / "b", encoder=encoder) as still:
        before = answers(still)
        publish(other, url)
        pull(url, tmp_path / "b")
        assert answers(still) == before
        still.refresh()
        assert answers(still) == answers_at(other, encoder)
    pull(url, tmp_path / "b", version=1)
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
    listed = json.loads((tmp_path / "store/versions/000000000001.json").read_text())["files"]
    assert len(os.listdir(tmp_path / "b" / "segments")) == len(listed)


def test_readers_search_while_versions_come_and_go(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder
) -> None:
    states = [answers_at(source, encoder)]
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(60, seed=5))
        states.append(answers(index))
    publish(source, url)
    folder = tmp_path / "b"
    pull(url, folder, version=1)
    stop = threading.Event()
    wrong: list[object] = []
    seen: set[int] = set()

    def read() -> None:
        with Index.open(folder, encoder=WordEncoder()) as reader:
            while not stop.is_set():
                reader.refresh()
                found = answers(reader)
                seen.add(states.index(found) if found in states else -1)
                if found not in states:
                    wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(12):
        pull(url, folder, version=2 - round_ % 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen <= {0, 1}
    assert seen


def test_a_pulled_folder_is_read_only_and_a_copy_of_it_is_not(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    pull(url, tmp_path / "b")
    with Index.open(tmp_path / "b", encoder=encoder) as index:
        for call in (lambda: index.delete(["d1"]), lambda: index.add(documents(1, first=900)), index.compact):
            with pytest.raises(IndexReadOnlyError, match=r"was pulled from .* `polyvec copy` makes"):
                call()
        index.copy(tmp_path / "c")
    with Index.open(tmp_path / "c", encoder=encoder) as own:
        assert own.delete(["d1"]) == 1
        assert own.verify() == []
    with pytest.raises(StorageError, match="was not pulled"):
        pull(url, tmp_path / "c")


def test_damage_in_the_folder_is_mended_by_pulling_again(
    tmp_path: Path, source: Path, url: str, encoder: WordEncoder
) -> None:
    pull(url, tmp_path / "b")
    segment = next((tmp_path / "b" / "segments").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[-20] ^= 1
    segment.write_bytes(content)
    assert pull(url, tmp_path / "b").received_bytes > len(content) // 2
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)


def test_what_comes_damaged_is_refused(tmp_path: Path, url: str) -> None:
    for path in sorted((tmp_path / "store" / "files").iterdir()):
        content = path.read_bytes()
        for bad in (content[:-1] + bytes([content[-1] ^ 1]), content[: len(content) // 2], b""):
            path.write_bytes(bad)
            with pytest.raises(StorageError) as caught:
                pull(url, tmp_path / "b")
            assert "came with another checksum" in str(caught.value) or "Cannot read" in str(caught.value)
            assert not (tmp_path / "b").exists()
            shutil.rmtree(
                tmp_path / ".b.pulling", ignore_errors=True
            )  # what came before the damage would not travel again
        path.write_bytes(content)
    pull(url, tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": 2}, "has layout 2, and this polyvec reads layout 1"),
        ({"version": 7}, "it says version 7"),
        ({"files": [{"file": "../../evil.seg", "size_bytes": 1, "sha256": "0" * 64}]}, "is no name of a file"),
        ({"catalog": {"file": "catalog", "size_bytes": -1, "sha256": "0" * 64}}, "is no size or number"),
        ({"map": {"file": "map", "size_bytes": 1, "sha256": "../" * 20}}, "is no checksum"),
        ({"packs": 3}, "is damaged"),
        ({"documents": None}, "is no size or number"),
        ({"files": []}, "which its manifest does not"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    tmp_path: Path, url: str, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "store" / "versions" / "000000000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StorageError, match=message):
        pull(url, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"layout": null}', b"[" * 100_000])
def test_a_manifest_of_another_program_is_refused(tmp_path: Path, url: str, content: bytes) -> None:
    (tmp_path / "store" / "versions" / "000000000001.json").write_bytes(content)
    with pytest.raises(StorageError, match="is no manifest of polyvec"):
        pull(url, tmp_path / "b")


def test_versions_that_are_not_there(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError, match=r"There is no version 9 at .* There is 1\."):
        pull(url, tmp_path / "b", version=9)
    with pytest.raises(InputError, match="version=0"):
        pull(url, tmp_path / "b", version=0)
    (tmp_path / "empty").mkdir()
    for version in (None, 3):
        with pytest.raises(StorageError, match=r"Nothing is published at .* yet: it is empty"):
            pull(str(tmp_path / "empty"), tmp_path / "b", version=version)
    with pytest.raises(StorageError, match="there is no such folder"):
        pull(str(tmp_path / "nowhere"), tmp_path / "b")
    assert not (tmp_path / "nowhere").exists()


def test_folders_that_hold_something_else_are_left_alone(tmp_path: Path, url: str, encoder: WordEncoder) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("dear")
    with pytest.raises(StorageError, match="something is there"):
        pull(url, tmp_path / "b")
    assert os.listdir(tmp_path / "b") == ["letter.txt"]
    with pytest.raises(StorageError, match="was not pulled"):
        pull(url, tmp_path / "a")
    (tmp_path / "d").mkdir()
    assert pull(url, tmp_path / "d").new  # an empty folder will do


def test_another_place_or_another_model_needs_another_folder(tmp_path: Path, source: Path, url: str) -> None:
    pull(url, tmp_path / "b")
    publish(source, str(tmp_path / "other"))
    with pytest.raises(StorageError, match=r"was pulled from"):
        pull(str(tmp_path / "other"), tmp_path / "b")
    publish(make_index(tmp_path / "o", documents(5), WordEncoder(name="others")), url)
    with pytest.raises(ModelMismatchError, match="Pull it into another folder"):
        pull(url, tmp_path / "b")


def test_one_pull_at_a_time(tmp_path: Path, url: str) -> None:
    pull(url, tmp_path / "b")
    with WriterLock(tmp_path / "b"), pytest.raises(IndexLockedError):
        pull(url, tmp_path / "b")
    (tmp_path / ".c.pulling").mkdir()
    with WriterLock(tmp_path / ".c.pulling"), pytest.raises(IndexLockedError):
        pull(url, tmp_path / "c")


def test_a_file_url_is_a_folder(tmp_path: Path, url: str) -> None:
    assert pull((tmp_path / "store").as_uri(), tmp_path / "b").new
    assert not pull(url, tmp_path / "b").new


def test_a_folder_with_a_damaged_catalog_is_named(tmp_path: Path, url: str) -> None:
    pull(url, tmp_path / "b")
    (tmp_path / "b" / "catalog.sqlite").write_bytes(b"no database")
    with pytest.raises(IndexCorruptError, match=r"catalog.sqlite is damaged"):
        pull(url, tmp_path / "b")
