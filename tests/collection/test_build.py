"""A build that is interrupted and resumed holds what the last run was given, whatever the source did in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.collection.build import build_index
from polyvec.data import Document
from polyvec.errors import InputError, ModelMismatchError, StorageError
from polyvec.index.session import Session
from tests.conftest import WordEncoder

VALUES = st.sampled_from([1, 1.0, True, "1", None, [1], {"a": 1}])
VERSIONS = st.dictionaries(
    st.sampled_from([f"d{i}" for i in range(8)]),
    st.tuples(st.sampled_from(["one word", "two words", "three"]), st.dictionaries(st.just("x"), VALUES)),
    min_size=1,
)


def broken(documents: list[Document], after: int) -> Iterator[Document]:
    yield from documents[:after]
    raise KeyboardInterrupt


def interrupt(documents: list[Document], after: int, path: Path, **settings: Any) -> None:
    """Begin a build that commits every document and stops."""
    with pytest.raises(KeyboardInterrupt):
        build_index(broken(documents, after), path, source="-", commit_seconds=0, **settings)


def held(index: Index) -> dict[str, tuple[str, str]]:
    return {document.id: (document.text, json.dumps(document.metadata)) for document in index.documents()}


@settings(max_examples=25, deadline=None)
@given(versions=st.lists(VERSIONS, min_size=2, max_size=3), data=st.data())
def test_it_holds_what_the_last_run_was_given(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, Any]], data: st.DataObject
) -> None:
    path, encoder = tmp_path_factory.mktemp("b") / "i", WordEncoder()
    runs = [[Document(name, text, fields) for name, (text, fields) in version.items()] for version in versions]
    for documents in runs[:-1]:
        interrupt(documents, data.draw(st.integers(0, len(documents))), path, encoder=encoder, nbits=16)
    before: dict[str, tuple[str, str]] = {}
    if path.exists():
        with Index(path, encoder=None, resume=True) as unfinished:
            before = held(unfinished)
    wanted = {d.id: (d.text, json.dumps(d.metadata)) for d in runs[-1]}
    encoder.encoded = 0
    index, report = build_index(runs[-1], path, encoder=encoder, nbits=16, source="-", commit_seconds=0)
    with index:
        assert held(index) == wanted
        assert report.skipped == sum(before.get(name) == content for name, content in wanted.items())
        assert report.replaced == sum(name in before and before[name] != content for name, content in wanted.items())
        assert report.added == len(wanted.keys() - before.keys()) == encoder.encoded - report.replaced
        assert report.deleted == len(before.keys() - wanted.keys())
        assert index.verify() == []
        for name, (text, _) in wanted.items():
            (hit,) = index.search(text, subset=[name])
            assert hit.normalized_score == pytest.approx(1, abs=1e-2)


DOCUMENTS = [Document(f"d{i}", f"text number{i}") for i in range(6)]


def test_other_nbits_hold_in_the_end(tmp_path: Path, encoder: WordEncoder) -> None:
    interrupt(DOCUMENTS, 4, tmp_path / "i", encoder=encoder, nbits=2)
    index, _ = build_index(DOCUMENTS, tmp_path / "i", encoder=encoder, nbits=8, source="-")
    with index:
        assert index.info()["nbits"] == 8
        assert index.search("number3", k=1)[0].score == pytest.approx(1, abs=0.02)


def test_codes_are_not_made_finer(tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Session, "vacuum", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # in the last step, when vectors are in codes already
            build_index(DOCUMENTS, tmp_path / "i", encoder=encoder, nbits=2, source="-")
    with pytest.raises(StorageError, match=r"begun with nbits=2.*in codes"):
        build_index(DOCUMENTS, tmp_path / "i", encoder=encoder, nbits=8, source="-")
    index, report = build_index(DOCUMENTS, tmp_path / "i", encoder=encoder, nbits=2, source="-")
    with index:
        assert report.skipped == 6
        assert index.info()["nbits"] == 2


def test_another_model_is_refused(tmp_path: Path, encoder: WordEncoder) -> None:
    interrupt(DOCUMENTS, 4, tmp_path / "i", encoder=encoder, nbits=16)
    for other in (WordEncoder(8), WordEncoder(name="other")):
        with pytest.raises(ModelMismatchError):
            build_index(DOCUMENTS, tmp_path / "i", encoder=other, nbits=16, source="-")


@pytest.mark.parametrize("apart", [1, 258])
def test_an_id_that_comes_twice_is_refused_however_far_apart(tmp_path: Path, encoder: WordEncoder, apart: int) -> None:
    documents = [Document(f"d{i}", f"text {i % 9}") for i in range(apart)]
    for _ in range(2):  # new, then resumed
        with pytest.raises(InputError, match="'d0' comes twice"):
            build_index(
                [*documents, Document("d0", "other")], tmp_path / "i", encoder=encoder, nbits=16, source="-", commit_seconds=0
            )  # fmt: skip


def test_an_empty_source_takes_nothing_away(tmp_path: Path, encoder: WordEncoder) -> None:
    interrupt(DOCUMENTS, 4, tmp_path / "i", encoder=encoder, nbits=16)
    with pytest.raises(InputError, match="no documents"):
        build_index([], tmp_path / "i", encoder=encoder, nbits=16, source="-")
    index, report = build_index(DOCUMENTS, tmp_path / "i", encoder=encoder, nbits=16, source="-")
    with index:
        assert (report.skipped, report.added) == (4, 2)


def test_options_are_checked_before_anything_is_made(tmp_path: Path, encoder: WordEncoder) -> None:
    wrong: list[dict[str, Any]] = [
        {"nbits": 3}, {"nbits": True}, {"nbits": "4"}, {"encoder": "polyvec-mini"}, {"progress": 3}, {"commit_seconds": np.nan},
        {"path": ""},
        {"documents": "text"}, {"documents": {"id": "a", "text": "b"}},
    ]  # fmt: skip
    for settings_ in wrong:
        given_ = {
            "documents": DOCUMENTS,
            "path": tmp_path / "i",
            "encoder": encoder,
            "nbits": 4,
            "source": "-",
            **settings_,
        }
        with pytest.raises(InputError):
            build_index(given_.pop("documents"), given_.pop("path"), **given_)
    assert list(tmp_path.iterdir()) == []
