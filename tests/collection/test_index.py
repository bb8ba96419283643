"""Index: what was added is found, in one transaction or not at all, whoever asks."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Index, SearchOptions
from polyvec.collection.build import build_index
from polyvec.data import Document
from polyvec.errors import (
    IndexCorruptError,
    IndexIncompleteError,
    IndexLockedError,
    IndexMissingError,
    InputError,
    ModelMismatchError,
    StorageError,
)
from polyvec.scoring import maxsim
from tests.conftest import WordEncoder

DOCUMENTS = [
    {"id": "mars", "title": "Mars", "text": "iron oxide makes the red planet red", "lang": "en"},
    {"id": "venus", "text": "a thick atmosphere makes venus the hottest planet", "lang": "en", "year": 1990},
    {"id": "saturn", "text": "Saturn hat Ringe aus Eis", "lang": "de"},
]


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Index:
    index = Index.create(tmp_path / "planets.polyvec", encoder=encoder)
    index.add(DOCUMENTS)
    return index


def ids(hits: list[Any]) -> list[str]:
    return [hit.id for hit in hits]


def test_finds_what_was_added(index: Index) -> None:
    hits = index.search("hottest planet", k=2)
    assert ids(hits) == ["venus", "mars"]
    assert [hit.rank for hit in hits] == [1, 2]
    assert hits[0].score == pytest.approx(2.0, abs=1e-2)
    assert hits[0].text == DOCUMENTS[1]["text"]
    assert hits[0].metadata == {"lang": "en", "year": 1990}
    assert index.search(["Ringe", "iron"], k=1)[0][0].id == "saturn"


def test_survives_closing_and_opening(index: Index, encoder: WordEncoder) -> None:
    before = index.search("red ice", k=3)
    index.close()
    with Index.open(index.path, encoder=encoder) as again:
        assert again.search("red ice", k=3) == before
        assert len(again) == 3
        assert "mars" in again
        assert again.verify() == []


def test_scores_are_maxsim_of_the_stored_vectors(index: Index, encoder: WordEncoder) -> None:
    (query,) = encoder.stream_queries(["thick red ice planet"])
    stored = [
        e.vectors.astype(np.float16).astype(np.float32)
        for e in encoder.stream_documents(d.encoded_text for d in map(_document, DOCUMENTS))
    ]
    expected = maxsim(query.vectors, stored)
    found = {hit.id: hit.score for hit in index.search("thick red ice planet", k=3)}
    for document, score in zip(DOCUMENTS, expected, strict=True):
        assert found[str(document["id"])] == pytest.approx(float(score), abs=1e-4)


def _document(fields: dict[str, Any]) -> Document:
    rest = {key: value for key, value in fields.items() if key not in ("id", "text")}
    return Document(fields["id"], fields["text"], rest)


def test_ties_break_by_order_of_adding(tmp_path: Path, encoder: WordEncoder) -> None:
    index = Index.create(tmp_path / "t.polyvec", encoder=encoder)
    for name in "zyxab":
        index.add([{"id": name, "text": "same words here"}])
    assert ids(index.search("words", k=3)) == ["z", "y", "x"]
    index.compact()
    assert ids(index.search("words", k=5)) == list("zyxab")


def test_explanation_adds_up_to_the_score_and_marks_the_words(index: Index) -> None:
    hit = index.search("hottest planet", k=1)[0]
    explanation = hit.explain()
    assert explanation.score == pytest.approx(hit.score, abs=1e-4)
    assert sum(match.similarity for match in explanation.matches) == pytest.approx(hit.score, abs=1e-4)
    assert [explanation.text[h.start : h.end] for h in explanation.highlights()] == ["hottest", "planet"]


def test_subset_and_unknown_ids(index: Index) -> None:
    assert ids(index.search("hottest planet", k=5, subset=["mars", "nowhere"])) == ["mars"]
    assert index.search("hottest planet", subset=[]) == []
    assert index.get(["saturn", "nowhere"])[1] is None


def test_delete_update_and_compact(index: Index) -> None:
    assert index.delete(["venus", "nowhere"]) == 1
    assert index.info()["deleted_rows"] == 1
    assert "venus" not in ids(index.search("hottest planet", k=5))
    report = index.update([{"id": "mars", "text": "dust"}, {"id": "pluto", "text": "dwarf planet"}])
    assert (report.replaced, report.added) == (1, 1)
    assert index.search("iron oxide", k=1)[0].score < 1.5
    index.delete(["pluto"])
    index.add([{"id": "pluto", "text": "dwarf planet"}])
    index.compact()
    assert index.info()["deleted_rows"] == 0
    assert index.info()["segments"] == 1
    assert sorted(ids(index.search("planet", k=9))) == ["mars", "pluto", "saturn"]
    assert index.verify() == []
    files = b"".join(path.read_bytes() for path in index.path.rglob("*") if path.is_file())
    assert b"atmosphere" not in files, "deleted text is still on disk"


def test_emptied_index_is_still_an_index(index: Index) -> None:
    index.delete([str(d["id"]) for d in DOCUMENTS])
    assert index.search("planet") == []
    index.compact()
    assert index.search("planet") == []
    assert index.info()["segments"] == 0
    index.add(DOCUMENTS)
    assert ids(index.search("Ringe", k=1)) == ["saturn"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "'a' comes twice"),
        ([{"id": "new", "text": "x"}, {"id": "mars", "text": "y"}], "'mars' is in the index already"),
        ([{"id": "new", "text": "x"}, {"id": "b", "text": "  "}], "text"),
        ([{"id": "new", "text": "x"}, {"text": "y"}], "id"),
    ],
)
def test_a_bad_document_adds_nothing(index: Index, bad: list[dict[str, Any]], message: str) -> None:
    before = sorted(path.name for path in (index.path / "segments").iterdir())
    with pytest.raises(InputError, match=message):
        index.add(bad)
    assert len(index) == 3
    assert index.verify() == []
    assert sorted(path.name for path in (index.path / "segments").iterdir()) == before


def test_a_failing_stream_adds_nothing(index: Index) -> None:
    def stream() -> Any:
        for i in range(5000):
            yield {"id": f"n{i}", "text": f"word{i} of many"}
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        index.add(stream())
    assert len(index) == 3
    index.add([{"id": "n0", "text": "fine"}])
    assert index.verify() == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_adds_nothing(index: Index, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"polyvec.index.format.os.{call}", full)
        with pytest.raises(StorageError, match="No space left on device"):
            index.add([{"id": "new", "text": "words"}])
    assert len(index) == 3
    assert index.verify() == []
    assert len(list((index.path / "segments").iterdir())) == 1
    index.add([{"id": "new", "text": "words"}])
    assert ids(index.search("words", k=1)) == ["new"]


def test_duplicates_far_apart_are_seen(index: Index) -> None:
    many = [{"id": f"n{i}", "text": f"word{i} and forty more words to fill a batch {i}"} for i in range(9000)]
    with pytest.raises(InputError, match="'n0' comes twice"):
        index.add([*many, many[0]])
    assert len(index) == 3


def test_open_says_what_is_wrong(tmp_path: Path, index: Index) -> None:
    with pytest.raises(IndexMissingError, match="no such folder"):
        Index.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IndexMissingError, match=r"holds no catalog\.sqlite"):
        Index.open(tmp_path / "empty")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "catalog.sqlite").write_text("not a database, but long enough to be looked at " * 9)
    with pytest.raises(IndexCorruptError, match="foreign"):
        Index.open(tmp_path / "foreign")
    with pytest.raises(StorageError, match="an index is there already"):
        Index.create(index.path, dim=3)
    with pytest.raises(ModelMismatchError, match="made by model words"):
        Index.open(index.path, encoder=WordEncoder(name="other"))


def test_a_missing_segment_is_named(index: Index, encoder: WordEncoder) -> None:
    index.close()
    (segment,) = (index.path / "segments").iterdir()
    segment.unlink()
    with pytest.raises(IndexCorruptError, match=segment.name):
        Index.open(index.path, encoder=encoder)


def test_a_second_writer_is_told_who_the_first_is(index: Index, encoder: WordEncoder) -> None:
    with (
        Index.open(index.path, encoder=encoder) as other,
        pytest.raises(IndexLockedError, match=f"process {os.getpid()}"),
    ):
        other.add([{"id": "x", "text": "y"}])


def test_readers_keep_their_snapshot_until_refresh(index: Index, encoder: WordEncoder) -> None:
    with Index.open(index.path, encoder=encoder) as reader:
        index.delete(["venus"])
        index.add([{"id": "new", "text": "hottest star"}])
        index.compact()
        assert ids(reader.search("hottest", k=1)) == ["venus"]
        reader.refresh()
        assert ids(reader.search("hottest", k=1)) == ["new"]


def test_vectors_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((n, 8)) for n in (3, 1, 4)]
    index = Index.create(tmp_path / "v.polyvec", dim=8)
    index.add_vectors(["a", "b", "c"], arrays, metadata=[{"n": i} for i in range(3)])
    hit = index.search_vectors(arrays[2].astype(np.float32), k=1)[0]
    assert (hit.id, hit.text, hit.metadata) == ("c", None, {"n": 2})
    assert len(index.search_vectors([arrays[0], arrays[1]], k=2)) == 2
    with pytest.raises(InputError, match="has no model"):
        index.search("text")
    with pytest.raises(InputError, match="found by vectors alone"):
        hit.explain()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 8), np.nan), "NaN or infinity in row 0"),
        (np.zeros((2, 7)), r"shape \(2, 7\), expected \(tokens, 8\)"),
        (np.zeros((0, 8)), "no token vectors"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.array([["a"] * 8]), "expected numbers"),
    ],
)
def test_bad_vectors_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    index = Index.create(tmp_path / "v.polyvec", dim=8)
    with pytest.raises(InputError, match=message):
        index.add_vectors(["ok", "bad"], [np.ones((1, 8)), array])
    with pytest.raises(InputError, match=message):
        index.search_vectors([array])
    assert len(index) == 0


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "v.polyvec", dim=2)
    with pytest.raises(InputError, match="vectors ended after 1 entries"):
        index.add_vectors(["a", "b"], [np.ones((1, 2))])
    assert len(index) == 0


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_bad_k_is_refused(index: Index, k: Any) -> None:
    with pytest.raises(InputError, match="k="):
        index.search("planet", k=k)


def test_k_above_the_collection_gives_everything(index: Index) -> None:
    assert len(index.search("planet", k=1000)) == 3
    assert len(index.search("planet", options=SearchOptions(k=2))) == 2


def test_create_checks_its_options(tmp_path: Path, encoder: WordEncoder) -> None:
    with pytest.raises(InputError, match="nbits=3"):
        Index.create(tmp_path / "x", dim=4, nbits=3)
    with pytest.raises(InputError, match="needs an encoder"):
        Index.create(tmp_path / "x")
    with pytest.raises(InputError, match="dim=4, but"):
        Index.create(tmp_path / "x", encoder=encoder, dim=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_no_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permissions"):
            Index.create(tmp_path / "x", dim=4)
    finally:
        tmp_path.chmod(0o700)


class TestBuild:
    """A long build that is interrupted can be resumed, and is never mistaken for a whole index."""

    documents = tuple(Document(f"d{i}", f"text number{i} of many", {}) for i in range(40))

    def _broken(self, after: int) -> Any:
        yield from self.documents[:after]
        raise KeyboardInterrupt

    def test_resumes_where_it_stopped(self, tmp_path: Path, encoder: WordEncoder) -> None:
        path = tmp_path / "b.polyvec"
        with pytest.raises(KeyboardInterrupt):
            build_index(self._broken(25), path, encoder=encoder, nbits=16, source="s", commit_seconds=0)
        with pytest.raises(IndexIncompleteError, match="resume"):
            Index.open(path)
        encoder.encoded = 0
        index, report = build_index(iter(self.documents), path, encoder=encoder, nbits=16, source="s")
        assert (report.skipped, report.added) == (25, 15)
        assert encoder.encoded == 15
        assert len(index) == 40
        assert ids(index.search("number31", k=1)) == ["d31"]
        assert index.verify() == []

    def test_nothing_stored_leaves_nothing(self, tmp_path: Path, encoder: WordEncoder) -> None:
        path = tmp_path / "b.polyvec"
        with pytest.raises(KeyboardInterrupt):
            build_index(self._broken(5), path, encoder=encoder, nbits=16, source="s")
        with pytest.raises(InputError, match="no documents"):
            build_index(iter([]), path, encoder=encoder, nbits=16, source="s")
        assert list(tmp_path.iterdir()) == []

    def test_another_source_or_a_finished_index_is_not_touched(self, tmp_path: Path, encoder: WordEncoder) -> None:
        path = tmp_path / "b.polyvec"
        with pytest.raises(KeyboardInterrupt):
            build_index(self._broken(9), path, encoder=encoder, nbits=16, source="s", commit_seconds=0)
        with pytest.raises(StorageError, match="was begun from s"):
            build_index(iter(self.documents), path, encoder=encoder, nbits=16, source="other")
        index, _ = build_index(iter(self.documents), path, encoder=encoder, nbits=16, source="s")
        index.close()
        with pytest.raises(StorageError, match="is an index already"):
            build_index(iter(self.documents), path, encoder=encoder, nbits=16, source="s")

    def test_a_killed_process_loses_only_its_last_part(self, tmp_path: Path, encoder: WordEncoder) -> None:
        code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.conftest import WordEncoder
from tests.collection.test_index import TestBuild
from polyvec.collection.build import build_index
def killing():
    yield from TestBuild.documents[:30]
    os.kill(os.getpid(), signal.SIGKILL)
build_index(killing(), Path({str(tmp_path / "k.polyvec")!r}), encoder=WordEncoder(), nbits=16, source="s", commit_seconds=0)
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
        index, report = build_index(iter(self.documents), tmp_path / "k.polyvec", encoder=encoder, nbits=16, source="s")
        assert report.skipped == 30
        assert len(index) == 40
        assert index.verify() == []
        listed = {path.name for path in (index.path / "segments").iterdir()}
        assert len(listed) == index.info()["segments"]


def test_a_copied_index_opens_elsewhere(index: Index, encoder: WordEncoder, tmp_path: Path) -> None:
    index.close()
    shutil.copytree(index.path, tmp_path / "copy")
    with Index.open(tmp_path / "copy", encoder=encoder) as copy:
        assert ids(copy.search("Ringe", k=1)) == ["saturn"]


class TestOpenOrCreate:
    """Made once, opened from then on; what is there has to fit what is asked for."""

    def test_makes_it_and_then_opens_it(self, tmp_path: Path, encoder: WordEncoder) -> None:
        path = tmp_path / "o.polyvec"
        with Index.open_or_create(path, encoder=encoder, nbits=8) as index:
            index.add(DOCUMENTS)
        with Index.open_or_create(path, encoder=encoder) as index:
            assert (len(index), index.name, index.info()["nbits"]) == (3, "o.polyvec", 8)
        with Index.open_or_create(path, dim=16, nbits=8) as index:
            assert len(index) == 3

    @pytest.mark.parametrize(
        ("arguments", "message"), [({"dim": 5}, "dim=5, but .* has dim=4"), ({"nbits": 2}, "nbits=2")]
    )
    def test_another_one_is_refused(self, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
        Index.open_or_create(tmp_path / "o.polyvec", dim=4, nbits=16).close()
        with pytest.raises(InputError, match=message):
            Index.open_or_create(tmp_path / "o.polyvec", **arguments)
        with Index.open_or_create(tmp_path / "o.polyvec") as index:
            assert index.add_vectors(["a"], [np.ones((1, 4))]).added == 1, "the refused call left the index open"

    def test_nothing_to_make_it_from(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="needs an encoder, or dim="):
            Index.open_or_create(tmp_path / "o.polyvec")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "letter.txt").write_text("mine")
        with pytest.raises(StorageError, match="full"):
            Index.open_or_create(tmp_path / "full", dim=4)

    def test_another_model_is_refused(self, tmp_path: Path, encoder: WordEncoder) -> None:
        Index.open_or_create(tmp_path / "o.polyvec", encoder=encoder).close()
        with pytest.raises(ModelMismatchError, match="made by model words"):
            Index.open_or_create(tmp_path / "o.polyvec", encoder=WordEncoder(name="other"))

    def test_another_process_may_be_quicker(
        self, tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "o.polyvec"
        create = Index.create

        def slower(*arguments: Any, **options: Any) -> Index:
            create(path, encoder=encoder).close()
            return create(*arguments, **options)

        monkeypatch.setattr(Index, "create", slower)
        with Index.open_or_create(path, encoder=encoder) as index:
            assert index.add(DOCUMENTS).added == 3
