"""What verify finds, repair puts right: from stored texts where there are any, and by saying what is lost where not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.collection.repair import repair_index
from polyvec.errors import IndexCorruptError, IndexLockedError, IndexMissingError
from tests.conftest import WordEncoder

WORDS = [f"word{i}" for i in range(300)]


@pytest.fixture
def path(tmp_path: Path, encoder: WordEncoder) -> Path:
    """Three segments: two in codes, with text; what `word7` says was deleted."""
    with Index.create(tmp_path / "i", encoder=encoder, nbits=8) as index:
        index.add([{"id": word, "text": f"the {word} of many {i % 7}"} for i, word in enumerate(WORDS[:200])])
        index.compact()
        index.add([{"id": word, "text": f"the {word} of few"} for word in WORDS[200:240]])
        index.add([{"id": word, "text": f"the {word} of one"} for word in WORDS[240:248]])
        index.delete(["word7"])
        assert index.info()["segments"] == 3
    return tmp_path / "i"


def damage_segment(path: Path) -> None:
    file = sorted((path / "segments").glob("*.seg"))[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lose_segment(path: Path) -> None:
    sorted((path / "segments").glob("*.seg"))[1].unlink()


def truncate_codec(path: Path) -> None:
    (file,) = (path / "segments").glob("*.codec")
    file.write_bytes(file.read_bytes()[:5000])


def _sql(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path / "catalog.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()


def forget_keywords(path: Path) -> None:
    _sql(path, "INSERT INTO keywords (keywords) VALUES ('delete-all')")


def forget_deletes(path: Path) -> None:
    _sql(path, "DELETE FROM deleted_rows")


def delete_what_lives(path: Path) -> None:
    _sql(path, "INSERT INTO deleted_rows SELECT row FROM documents WHERE id = 'word9'")


@pytest.mark.parametrize(
    "harm",
    [damage_segment, lose_segment, truncate_codec, forget_keywords, forget_deletes, delete_what_lives],
    ids=lambda harm: harm.__name__,
)
def test_repair_puts_everything_back(path: Path, encoder: WordEncoder, harm: Callable[[Path], None]) -> None:
    harm(path)
    try:
        with Index.open(path, encoder=encoder) as index:
            assert index.verify() != []
    except IndexCorruptError:
        pass
    report = repair_index(path, encoder=encoder)
    assert report.actions
    assert report.lost == []
    with Index.open(path, encoder=encoder) as index:
        assert index.verify() == []
        assert len(index) == 247
        for word in ("word3", "word9", "word201", "word247"):
            assert index.search(word, k=1)[0].id == word
            assert [hit.id for hit in index.search(word, mode="keyword")] == [word]
        assert index.search("word7", mode="keyword") == []
    assert repair_index(path, encoder=encoder).actions == []


def test_only_what_was_lost_is_encoded(path: Path, encoder: WordEncoder) -> None:
    lose_segment(path)
    encoder.encoded = 0
    assert repair_index(path, encoder=encoder).encoded == 40
    assert encoder.encoded == 40


def test_a_sound_index_stays_as_it_is(path: Path) -> None:
    files = {file.name: file.stat().st_mtime_ns for file in (path / "segments").iterdir()}
    report = repair_index(path)
    assert (report.actions, report.encoded, report.lost) == ([], 0, [])
    assert files == {file.name: file.stat().st_mtime_ns for file in (path / "segments").iterdir()}


def test_vectors_without_a_text_are_reported_lost(tmp_path: Path) -> None:
    arrays = list(np.random.default_rng(0).standard_normal((60, 3, 8), dtype=np.float32))
    with Index.create(tmp_path / "v", dim=8, nbits=16) as index:
        index.add_vectors([f"a{i}" for i in range(50)], arrays[:50])
        index.add_vectors([f"b{i}" for i in range(10)], arrays[50:])
        assert index.info()["segments"] == 2
    lose_segment(tmp_path / "v")
    report = repair_index(tmp_path / "v")
    assert report.lost == [f"b{i}" for i in range(10)]
    with Index.open(tmp_path / "v") as index:
        assert index.verify() == []
        assert len(index) == 50
        assert index.search_vectors(arrays[3], k=1)[0].id == "a3"


def test_what_cannot_be_repaired_is_said(path: Path, tmp_path: Path, encoder: WordEncoder) -> None:
    with pytest.raises(IndexMissingError):
        repair_index(tmp_path / "nowhere")
    with Index.open(path, encoder=encoder) as index:
        index.delete(["word1"])
        with pytest.raises(IndexLockedError, match="is being written by process"):
            repair_index(path)
    data = bytearray((path / "catalog.sqlite").read_bytes())
    data[4096:8192] = bytes(4096)
    (path / "catalog.sqlite").write_bytes(data)
    with pytest.raises(IndexCorruptError, match=r"catalog\.sqlite"):
        repair_index(path)
