"""Hits are plain data: they compare, copy, pickle and outlive their index; explaining one asks an open index."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

import polyvec
from polyvec import Hit, Index
from polyvec.encoder.encoded import TextTokens
from polyvec.errors import InputError, StorageError
from tests.conftest import WordEncoder

QUERY = "ripe red apple"
ROWS = [
    {"id": "apple", "text": "a red apple, ripe and sweet", "title": "Fruit", "tags": ["x", {"y": 1}]},
    {"id": "brick", "text": "a red brick in the wall"},
    {"id": "sea", "text": "the sea is deep"},
]


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Index:
    index = Index.create(tmp_path / "hits.polyvec", encoder=encoder)
    index.add(ROWS)
    return index


@pytest.mark.parametrize("mode", ["late", "keyword", "hybrid"])
def test_a_hit_is_data_that_outlives_its_index(index: Index, mode: Any) -> None:
    hits = index.search(QUERY, k=3, mode=mode)
    again = index.search(QUERY, k=3, mode=mode)
    assert hits == again
    index.close()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(hits, protocol)) == hits
    assert copy.deepcopy(hits) == hits
    assert [copy.copy(hit) for hit in hits] == hits
    assert dataclasses.replace(hits[0], rank=7).rank == 7
    assert set(dataclasses.asdict(hits[0])) == {field.name for field in dataclasses.fields(Hit)}
    assert "explain" not in repr(hits[0])
    deep = copy.deepcopy(hits[0])
    deep.metadata["new"] = 1
    assert "new" not in hits[0].metadata


@pytest.mark.parametrize("mode", ["late", "keyword", "hybrid"])
def test_the_index_explains_a_hit_that_traveled(index: Index, mode: Any) -> None:
    for hit in index.search(QUERY, k=3, mode=mode):
        arrived = pickle.loads(pickle.dumps(hit))
        assert index.explain(QUERY, arrived) == hit.explain()
        assert index.explain(QUERY, arrived) == index.explain(QUERY, hit)
        if mode == "late":
            assert hit.explain().score == pytest.approx(hit.score, abs=1e-4)
        with pytest.raises(InputError, match=r"index\.explain\(query, hit\)"):
            arrived.explain()
        assert pickle.loads(pickle.dumps(hit.explain())) == hit.explain()


def test_a_closed_index_explains_nothing(index: Index) -> None:
    hit = index.search(QUERY, k=1)[0]
    index.close()
    with pytest.raises(InputError, match=r"closed.*index\.explain"):
        hit.explain()
    with pytest.raises(StorageError, match="closed"):
        index.explain(QUERY, hit)


@pytest.mark.parametrize("mode", ["late", "keyword", "hybrid"])
def test_a_collected_index_explains_nothing(mode: Any, tmp_path: Path, encoder: WordEncoder) -> None:
    index = Index.create(tmp_path / "c.polyvec", encoder=encoder)
    index.add(ROWS)
    hit = index.search(QUERY, k=1, mode=mode)[0]
    kept = [index.search([QUERY, QUERY], mode=mode, threads=threads) for threads in (1, 2)]
    hit.explain()
    gone = weakref.ref(index)
    gc.disable()  # no hit may keep it, not even in a circle until the collector comes
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()
    assert kept
    with Index.open(tmp_path / "c.polyvec", encoder=encoder) as another:
        another.add([{"id": "new", "text": "a pear"}])  # the writer's lock is free
    with pytest.raises(InputError, match="closed"):
        hit.explain()
    assert Index.open(tmp_path / "c.polyvec", encoder=encoder).explain(QUERY, hit).text.endswith("sweet")


def test_what_changed_since_is_said(index: Index) -> None:
    apple, brick = index.search(QUERY, k=2)
    before = brick.explain()
    index.update([{"id": "brick", "text": "a blue brick"}])
    with pytest.raises(InputError, match="another text by now"):
        brick.explain()
    index.update([ROWS[1]])
    index.compact()
    index.refresh()
    after = brick.explain()  # the same text again, so the same reasons
    assert [match.document_token for match in after.matches] == [match.document_token for match in before.matches]
    assert after.score == pytest.approx(before.score, abs=0.05)
    index.delete(["apple"])
    with pytest.raises(InputError, match="no such document any more"):
        apple.explain()


def test_a_reader_explains_what_it_sees(index: Index, encoder: WordEncoder) -> None:
    reader = Index.open(index.path, encoder=encoder)
    hit = reader.search(QUERY, k=1)[0]
    index.delete(["apple"])
    assert hit.explain().score == pytest.approx(hit.score, abs=1e-4)
    reader.refresh()
    with pytest.raises(InputError, match="any more"):
        hit.explain()


class TellingEncoder(WordEncoder):
    """Can say where a document's tokens stand without encoding it."""

    def document_tokens(self, text: str) -> TextTokens | None:
        (encoded,) = WordEncoder(self.dim).stream_documents([text])
        assert encoded.offsets is not None
        kept = slice(1, None) if self.wrong else slice(None)
        return TextTokens(encoded.token_ids[kept], encoded.offsets[kept], encoded.truncated)

    wrong = False


def test_no_document_is_encoded_to_explain_a_hit_where_its_tokens_can_be_told(tmp_path: Path) -> None:
    encoder = TellingEncoder()
    with Index.create(tmp_path / "told.polyvec", encoder=encoder) as index:
        index.add(ROWS)
        hits, encoded = index.search(QUERY, k=3), encoder.encoded
        explanations = [hit.explain() for hit in hits]
        assert encoder.encoded == encoded
        encoder.wrong = True  # it tells another number of tokens than are stored
        assert [hit.explain() for hit in hits] == explanations
        assert encoder.encoded == encoded + len(hits)


def test_wrong_arguments_of_explain(index: Index) -> None:
    hit = index.search(QUERY, k=1)[0]
    for query, given in ((None, hit), (["q"], hit), (QUERY, "apple"), (QUERY, None), (QUERY, [hit])):
        with pytest.raises(InputError, match="Hit of a search"):
            index.explain(query, given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="empty"):
        index.explain(" ", hit)
    with pytest.raises(InputError, match="no stored text"):
        index.explain(QUERY, Hit("apple", 1.0, 1))


def test_hits_of_rerank_are_data_too(encoder: WordEncoder) -> None:
    hits = polyvec.rerank(QUERY, [row["text"] for row in ROWS], encoder=encoder)
    assert hits[0].explain().score == pytest.approx(hits[0].score, abs=1e-4)
    assert pickle.loads(pickle.dumps(hits)) == hits
    with pytest.raises(InputError, match="unpickled"):
        copy.deepcopy(hits)[0].explain()
