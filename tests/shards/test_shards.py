"""Shards against one index: the same documents, the same answers."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, Shards
from polyvec.demo import load_demo
from polyvec.errors import IndexLockedError, InputError, ModelMismatchError, PolyvecError, StorageError
from polyvec.index.upkeep import policy
from tests.conftest import WordEncoder
from tests.shards.conftest import Both
from tests.shards.corpus import WORDS, document, documents, vectors
from tests.shards.same import assert_same


def test_answers_are_those_of_one_index(both: Both) -> None:
    assert assert_same(*both) > 500
    assert both.shards.verify() == []


def test_answers_are_those_of_one_index_in_codes(both: Both) -> None:
    for one in both:
        one.compact()
    assert both.shards.info()["coded_segments"] == 4
    assert both.shards.info()["codec"]["error"] == both.index.info()["codec"]["error"]
    assert assert_same(*both) > 500
    for one in both:  # into the codes of the codec that is there
        one.add(documents(40, first=500))
        one.update([document(7, seed=9), document(900)])
        one.delete(["d3", "d4", "d5"])
    assert assert_same(*both) > 500


@pytest.mark.parametrize("nbits", [1, 8, 16])
def test_answers_are_the_same_with_any_bits(tmp_path: Path, nbits: int) -> None:
    with (
        Shards.create(tmp_path / "s", shards=3, encoder=WordEncoder(), nbits=nbits) as shards,
        Index.create(tmp_path / "i", encoder=WordEncoder(), nbits=nbits) as index,
    ):
        for one in (shards, index):
            one.add(documents(50))
            one.compact()
        assert_same(shards, index, ["green tea"])


def test_answers_on_the_demo_corpus(tmp_path: Path) -> None:
    corpus = load_demo()
    questions = [query.text for query in corpus.queries][:6]
    encoder = WordEncoder(document_length=300)
    with (
        Shards.create(tmp_path / "s", shards=5, encoder=encoder) as shards,
        Index.create(tmp_path / "i", encoder=encoder) as index,
    ):
        for one in (shards, index):
            one.add(corpus.documents)
            one.compact()
        for mode in ("late", "keyword", "hybrid"):
            for exact in (False, True):
                kept: dict[str, Any] = {"mode": mode, "exact": exact, "k": 30}
                assert shards.search(questions, **kept) == index.search(questions, **kept)
        assert shards.fields() == index.fields()


TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.dictionaries(st.integers(0, 14).map(str), TEXTS, min_size=1, max_size=6)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 14).map(str), max_size=4)),
        st.tuples(st.just("fields"), st.lists(st.integers(0, 14).map(str), max_size=4)),
        st.tuples(st.just("compact"), st.booleans()),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, shards=st.integers(1, 5), question=TEXTS)
def test_any_calls_leave_the_same_behind(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]], shards: int, question: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    encoder = WordEncoder()
    with (
        Shards.create(folder / "s", shards=shards, encoder=encoder, nbits=8) as several,
        Index.create(folder / "i", encoder=encoder, nbits=8) as index,
    ):
        for one in (several, index):
            one.add(documents(5, first=100))
        for name, given_ in steps:
            answers = [_do(one, name, given_) for one in (several, index)]
            assert answers[0] == answers[1]
        assert_same(several, index, [question], k=8)
        assert several.verify() == []


def _do(one: Index | Shards, name: str, given_: Any) -> Any:
    if name == "update":
        return one.update([{"id": key, "text": text, "n": len(text)} for key, text in given_.items()])
    if name == "delete":
        return one.delete(given_)
    if name == "fields":
        there = [d.id for d in one.get(given_) if d is not None]
        return one.update_metadata({key: {"title": "black tea", "n": None, "lang": "de"} for key in there})
    return one.compact(retrain=given_)


def test_codecs_are_trained_together_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "TRAIN_FROM", 200)
    with Shards.create(tmp_path / "s", shards=3, encoder=WordEncoder()) as shards:
        shards.add(documents(20))
        assert shards.info()["codec"] is None
        shards.add(documents(60, first=20))
        facts = shards.info()
        assert facts["coded_segments"] == facts["segments"] == 3
        shards.add(documents(400, first=100))  # enough to train another one
        assert shards.info()["codec"]["trained_on_tokens"] > facts["codec"]["trained_on_tokens"]
    with Shards.open(tmp_path / "s", encoder=WordEncoder()) as shards:
        assert shards.verify() == []
        checksums = {Index.open(tmp_path / "s" / name)._settings.codec.checksum for name in ("shard-000", "shard-002")}  # type: ignore[union-attr]
        assert len(checksums) == 1


def test_vectors_of_ones_own(tmp_path: Path) -> None:
    ids = [f"v{i}" for i in range(30)]
    with Shards.create(tmp_path / "s", dim=8) as shards, Index.create(tmp_path / "i", dim=8) as index:
        for one in (shards, index):
            one.add_vectors(ids, map(vectors, range(30)), metadata=({"n": i} for i in range(30)))
            one.add_vectors(["v3", "new"], [vectors(77), vectors(78)], existing="replace")
        queries = [vectors(200), vectors(201)]
        assert shards.search_vectors(queries, k=40, min_score=0.1) == index.search_vectors(queries, k=40, min_score=0.1)
        assert shards.search_vectors(queries[0], filter={"n": {"$lt": 9}})[0].metadata["n"] < 9
        with pytest.raises(InputError, match="holds vectors only"):
            shards.search("text")


def test_reading_is_that_of_one_index(both: Both) -> None:
    shards, index = both
    assert list(shards.scan()) == list(index.scan())
    assert list(shards.scan(filter={"lang": "de"}, after="d3", limit=7)) == list(
        index.scan(filter={"lang": "de"}, after="d3", limit=7)
    )
    assert shards.get(["d9", "nope", "d1", "d9"]) == index.get(["d9", "nope", "d1", "d9"])
    assert "d9" in shards
    assert "nope" not in shards
    assert shards.fields() == index.fields()
    facts, wanted = shards.info(), index.info()
    for name in ("documents", "tokens", "languages", "text_bytes", "model", "dim", "nbits", "truncated_documents"):
        assert facts[name] == wanted[name], name
    assert facts["shards"] == 4
    assert facts["size_bytes"] == sum(f.stat().st_size for f in shards.path.rglob("*") if f.is_file())


def test_hits_explain_themselves(both: Both) -> None:
    for mode in ("late", "keyword"):
        hit, other = both.shards.search("green tea", mode=mode)[0], both.index.search("green tea", mode=mode)[0]  # type: ignore[call-overload]
        assert hit.explain() == other.explain() == both.shards.explain("green tea", pickle.loads(pickle.dumps(hit)))
    both.shards.close()
    with pytest.raises(InputError, match="is closed"):
        hit.explain()


def test_a_call_that_fails_stores_nothing(both: Both) -> None:
    shards, index = both
    before = {path: path.stat().st_size for path in shards.path.rglob("*.seg")}
    bad: list[list[dict[str, Any]]] = [
        [*documents(30, first=200), {"id": "late", "text": "  "}],
        [*documents(30, first=200), document(200)],
        [*documents(30, first=200), document(5)],
    ]
    for wrong in bad:
        with pytest.raises(InputError):
            shards.add(wrong)
    with pytest.raises(InputError, match="not in the index"):
        shards.update_metadata({"d1": {"n": 3}, "nope": {"n": 4}})
    with pytest.raises(InputError):
        shards.delete(filter={})
    assert {path: path.stat().st_size for path in shards.path.rglob("*.seg")} == before
    assert_same(shards, index, ["green tea"])
    assert shards.verify() == []


def test_a_disk_that_fails_before_the_last_shard_is_written(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyvec.index.writing.new_segment import NewSegment

    listed, whole = [], NewSegment.list

    def failing(self: NewSegment) -> None:
        listed.append(self)
        if len(listed) == 3:
            raise StorageError("no space left")
        whole(self)

    monkeypatch.setattr(NewSegment, "list", failing)
    with pytest.raises(StorageError, match="no space"):
        both.shards.update(documents(60, seed=8))
    monkeypatch.undo()
    assert_same(*both, questions=["green tea"])
    assert both.shards.verify() == []
    assert both.shards.info()["unlisted_files"] == 0


def test_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyvec.index.writing import arrivals

    monkeypatch.setattr(arrivals, "BUFFER_TOKENS", 20)
    with (
        Shards.create(tmp_path / "s", shards=2, encoder=WordEncoder()) as shards,
        Index.create(tmp_path / "i", encoder=WordEncoder()) as index,
    ):
        for one in (shards, index):
            one.add(documents(100))
            with pytest.raises(InputError, match="twice"):
                one.add([*documents(90, first=300), document(300)])
            assert one.add(documents(30, first=90), existing="skip").skipped == 10
        assert_same(shards, index, ["green tea", "京"])
        assert shards.verify() == []


def test_readers_see_one_moment_of_all_shards(both: Both) -> None:
    shards, _ = both
    with (
        Shards.open(shards.path, encoder=WordEncoder()) as still,
        Shards.open(shards.path, encoder=WordEncoder(), auto_refresh=True) as following,
    ):
        shards.add(documents(50, first=300))
        assert (len(still), len(following), len(shards)) == (120, 170, 170)
        walk = following.scan()
        next(walk)
        shards.delete([f"d{i}" for i in range(300, 350)])
        assert len(list(walk)) == 169
        still.refresh()
        assert len(still) == len(following) == 120


def test_one_writer_at_a_time(both: Both) -> None:
    with Shards.open(both.shards.path, encoder=WordEncoder()) as other:
        with pytest.raises(IndexLockedError):
            other.delete(["d1"])
        both.shards.close()
        assert other.delete(["d1"]) == 1


def test_changes_from_within_a_stream_are_refused(both: Both) -> None:
    def stream() -> Any:
        yield document(700)
        both.shards.delete(["d1"])

    with pytest.raises(IndexLockedError):
        both.shards.add(stream())
    assert len(both.shards) == 120


def test_copies(both: Both, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    size = both.shards.copy(tmp_path / "copy", progress=lambda *seen: done.append(seen))
    assert done[-1][0] <= done[-1][1]
    assert size > 1000
    with Shards.open(tmp_path / "copy", encoder=WordEncoder()) as copy:
        assert_same(copy, both.index, ["green tea"])
        copy.add([document(800)])
    with pytest.raises(StorageError):
        both.shards.copy(both.shards.path / "inside")
    with pytest.raises(StorageError):
        both.shards.copy(tmp_path / "copy")


def test_closed_shards(both: Both) -> None:
    both.shards.close()
    both.shards.close()
    for call in (lambda: len(both.shards), both.shards.info, both.shards.refresh, lambda: both.shards.delete(["d1"])):
        with pytest.raises(StorageError, match="closed"):
            call()
    with pytest.raises(InputError, match="pickled"):
        pickle.dumps(both.shards)


def test_another_model_is_refused(both: Both) -> None:
    with pytest.raises(ModelMismatchError):
        Shards.open(both.shards.path, encoder=WordEncoder(name="other"))


@pytest.mark.parametrize("wrong", [{"shards": 0}, {"shards": 65}, {"shards": 2.5}, {"nbits": 3}, {"dim": 0}])
def test_creation_checks_its_arguments(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Shards.create(tmp_path / "s", **{"dim": 8, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_creation_needs_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").touch()
    for name in ("file", "full"):
        with pytest.raises(PolyvecError):
            Shards.create(tmp_path / name, dim=8)
    (tmp_path / "empty").mkdir()
    Shards.create(tmp_path / "empty", dim=8, shards=1).close()
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "full"]


def test_rows_stay_in_the_order_of_adding_after_all_is_deleted(tmp_path: Path) -> None:
    with Shards.create(tmp_path / "s", dim=8) as shards:
        shards.add_vectors(["a", "b", "c"], [np.ones((1, 8))] * 3)
        shards.delete(["c", "b", "a"])
        shards.compact()
        shards.add_vectors(["z", "y", "a", "m"], [np.ones((1, 8))] * 4)
        assert [hit.id for hit in shards.search_vectors(np.ones((1, 8)))] == ["z", "y", "a", "m"]
