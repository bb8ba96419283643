"""Publishing: what travels, what is refused, and what a version consists of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from polyvec import Index
from polyvec.errors import (
    IndexCorruptError,
    IndexMissingError,
    InputError,
    MissingExtraError,
    PublishConflictError,
    StorageError,
)
from polyvec.publish import publish, pull
from polyvec.publish.publishing import _create
from polyvec.publish.store import Store
from tests.conftest import WordEncoder
from tests.publish.indexes import answers_at, documents, make_index


def test_a_pulled_index_answers_as_the_published_one(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(300), encoder)
    done = publish(source, str(tmp_path / "store"))
    assert (done.version, done.new, done.documents) == (1, True, 300)
    pull(str(tmp_path / "store"), tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)


def test_codes_and_their_codec_travel(tmp_path: Path) -> None:
    encoder = WordEncoder(8)
    source = make_index(tmp_path / "a", documents(1500, words=90), WordEncoder(8, document_length=100))
    with Index.open(source) as index:
        assert index.info()["codec"]
    publish(source, str(tmp_path / "store"))
    pull(str(tmp_path / "store"), tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)


def test_nothing_travels_where_nothing_has_changed(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(50), encoder)
    publish(source, str(tmp_path / "store"))
    again = publish(source, str(tmp_path / "store"))
    assert (again.version, again.new, again.sent_bytes) == (1, False, 0)


def test_an_empty_index_travels(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", [], encoder)
    assert publish(source, str(tmp_path / "store")).documents == 0
    pull(str(tmp_path / "store"), tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)


def test_little_travels_where_little_has_changed(tmp_path: Path) -> None:
    encoder = WordEncoder(64, document_length=100)
    source = make_index(tmp_path / "a", documents(2000, words=60), encoder)
    url = str(tmp_path / "store")
    publish(source, url)
    pull(url, tmp_path / "b")
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(20, seed=1, first=700, words=60))
    done = publish(source, url)
    assert done.new
    assert 0 < done.sent_bytes <= 0.05 * done.size_bytes
    pulled = pull(url, tmp_path / "b")
    assert 0 < pulled.received_bytes <= 0.05 * pulled.size_bytes
    assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)


def test_an_index_is_published_while_it_is_open_for_writing(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(50), encoder)
    with Index.open(source, encoder=encoder) as index:
        index.delete(["d1"])
        assert publish(source, str(tmp_path / "store")).documents == 49
        index.delete(["d2"])
        assert publish(source, str(tmp_path / "store")).documents == 48


def test_a_damaged_file_is_not_published(tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_index(tmp_path / "a", documents(50), encoder)
    segment = next((source / "segments").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[-20] ^= 1
    segment.write_bytes(content)
    with pytest.raises(IndexCorruptError, match="is damaged"):
        publish(source, str(tmp_path / "store"))
    monkeypatch.setattr("polyvec.index.format.CHECKED_ON_OPENING", 0)  # as if it were large
    with pytest.raises(IndexCorruptError, match=r"Nothing was published: run `polyvec repair"):
        publish(source, str(tmp_path / "store"))
    with pytest.raises(StorageError, match=r"Nothing is published"):
        pull(str(tmp_path / "store"), tmp_path / "b")


def test_a_version_that_lost_objects_is_made_whole(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(50), encoder)
    url = str(tmp_path / "store")
    publish(source, url)
    for path in (tmp_path / "store" / "files").iterdir():
        path.unlink()
        with pytest.raises(StorageError, match="is not whole any more"):
            pull(url, tmp_path / "b")
        again = publish(source, url)
        assert again.sent_bytes
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        pull(url, tmp_path / "b")
        assert answers_at(tmp_path / "b", encoder) == answers_at(source, encoder)
        shutil.rmtree(tmp_path / "b")


def test_half_of_a_version_is_no_version(tmp_path: Path, encoder: WordEncoder) -> None:
    source, url = make_index(tmp_path / "a", documents(50), encoder), str(tmp_path / "store")
    publish(source, url)
    pull(url, tmp_path / "b")
    before = answers_at(source, encoder)
    old = {path.name for path in (tmp_path / "store" / "files").iterdir()}
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(20, seed=4))
    publish(source, url)
    for path in (tmp_path / "store" / "files").iterdir():
        if path.name not in old:
            path.unlink()
    with pytest.raises(StorageError, match="is not whole any more") as caught:
        pull(url, tmp_path / "b")
    assert "\n" not in str(caught.value)
    assert answers_at(tmp_path / "b", encoder) == before
    with Index.open(tmp_path / "b", encoder=encoder) as index:
        assert index.verify() == []
    assert not pull(url, tmp_path / "b", version=1).new  # the one before is still whole
    assert not (tmp_path / "c").exists()


def test_of_two_publishers_one_is_refused(
    tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "store")
    one = make_index(tmp_path / "a", documents(20), encoder)
    other = make_index(tmp_path / "o", documents(30), encoder)

    def slow(store: Store, made: object, content: bytes) -> None:
        monkeypatch.undo()
        publish(other, url)
        _create(store, made, content)  # type: ignore[arg-type]

    monkeypatch.setattr("polyvec.publish.publishing._create", slow)
    with pytest.raises(PublishConflictError, match="Somebody else published version 1"):
        publish(one, url)
    pull(url, tmp_path / "b")
    assert answers_at(tmp_path / "b", encoder) == answers_at(other, encoder)
    assert publish(one, url).version == 2


def test_a_place_that_holds_other_things_is_refused(tmp_path: Path, encoder: WordEncoder) -> None:
    source = make_index(tmp_path / "a", documents(5), encoder)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "holiday.jpg").write_bytes(b"x")
    for call in (
        lambda: publish(source, str(tmp_path / "store")),
        lambda: pull(str(tmp_path / "store"), tmp_path / "b"),
    ):
        with pytest.raises(StorageError, match=r"other things are there \('holiday.jpg'\)"):
            call()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["holiday.jpg"]
    with pytest.raises(StorageError, match="other things are there"):
        publish(source, str(source))


def test_the_clock_of_a_publisher_decides_nothing(
    tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_index(tmp_path / "a", documents(20), encoder)
    url = str(tmp_path / "store")
    publish(source, url)

    class Off:
        @staticmethod
        def now(zone: object) -> Off:
            return Off()

        def isoformat(self, timespec: str) -> str:
            return "1970-01-01T00:00:00+00:00"

    monkeypatch.setattr("polyvec.publish.publishing.datetime", Off)
    with Index.open(source, encoder=encoder) as index:
        index.delete(["d1"])
    assert publish(source, url).version == 2
    assert pull(url, tmp_path / "b").version == 2
    assert json.loads((tmp_path / "store/versions/000000000002.json").read_text())["published"].startswith("1970")


def test_what_is_given_is_checked(tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_index(tmp_path / "a", documents(5), encoder)
    with pytest.raises(IndexMissingError):
        publish(tmp_path / "nowhere", str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
    for url in (
        "ftp://a/b",
        "s3://bucket",
        "s3:///b",
        "https://a/b",
        "",
        "s3://key:secret@bucket/name",
        "s3://b/../c",
        "s3://[/x",
    ):
        with pytest.raises(InputError) as caught:
            publish(source, url)
        assert "secret" not in str(caught.value)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="Cannot open it at"):
        publish(source, str(tmp_path / "file"))
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyvec\[publish\]'"):
        publish(source, str(tmp_path / "store"))
