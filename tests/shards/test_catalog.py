"""Keywords counted by several catalogs, scored as FTS5 scores them in one; fields from a sample of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, Shards
from polyvec.index.catalog import listing, word_counts
from polyvec.index.catalog.keywords import query_terms
from polyvec.shards.catalog import SharedCatalog
from tests.conftest import WordEncoder
from tests.shards.conftest import Both
from tests.shards.corpus import QUESTIONS, WORDS, documents

LETTERS = st.text(alphabet="ab 京都東タเข😀é", min_size=1, max_size=12).filter(lambda text: any(map(str.isalpha, text)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(LETTERS, min_size=1, max_size=14),
    question=LETTERS,
    k=st.integers(1, 9),
    scored=st.sets(st.integers(0, 13), max_size=5),
)
def test_scores_are_those_of_one_catalog(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], question: str, k: int, scored: set[int]
) -> None:
    folder, encoder = tmp_path_factory.mktemp("k"), WordEncoder()
    given_ = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    with (
        Shards.create(folder / "s", shards=3, encoder=encoder) as shards,
        Index.create(folder / "i", encoder=encoder) as index,
    ):
        for one in (shards, index):
            one.add(given_)
            one.delete(["1", "5"])
        with shards._current() as several, index._current() as one_view:
            names = [str(number) for number in scored]
            answers = []
            for catalog in (several.catalog, one_view.catalog):
                rows = catalog.rows_of(names)
                found, scores = catalog.search_keywords(question, k, scored=rows.values())
                ids = [catalog.documents([row])[row].id for row in found.tolist()]
                answers.append((ids, scores.tolist(), catalog.keyword_bound(question)))
            assert answers[0] == answers[1]


def test_counts_of_a_catalog(both: Both) -> None:
    both.index.delete(["d1", "d2"])
    with both.index._current() as view:
        catalog = both.index._view.catalog
        texts = {d.row: d.text or "" for d in view.catalog.all_documents()}
        totals = catalog.keyword_totals()
        assert totals.documents == len(texts)
        lengths = catalog.keyword_lengths(np.array(sorted(texts), np.int64))
        assert lengths.sum() == totals.tokens
        rows, counts, having = catalog.word_counts(query_terms("tea"))
        assert having.tolist() == [len(rows)]
        titled = {row for row in texts if texts[row] and view.catalog.documents([row])[row].metadata.get("title")}
        wanted = {row: text.split().count("tea") + (row in titled) for row, text in texts.items()}
        assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == {r: n for r, n in wanted.items() if n}


def test_words_are_counted_the_same_in_every_way(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [*QUESTIONS, "京", "京 東京 tea", "tea tea green nothing", "nothing"]
    wanted = [both.index.search(question, mode="keyword", k=30) for question in questions]

    def check() -> None:
        for _ in range(2):
            assert [both.shards.search(question, mode="keyword", k=30) for question in questions] == wanted

    check()
    monkeypatch.setattr(word_counts, "_FREQUENT", 0)  # all words are remembered
    both.shards.refresh()
    check()
    monkeypatch.setattr(word_counts, "_MOST_KEPT", 12)  # and soon forgotten
    both.shards.refresh()
    check()
    monkeypatch.setattr(word_counts, "_MOST_IN_A_STRING", 0)  # one row a place
    monkeypatch.setattr(word_counts, "_MOST_KEPT", 0)
    both.shards.refresh()
    check()


def test_a_state_is_kept_while_others_write(both: Both) -> None:
    with Shards.open(both.shards.path, encoder=WordEncoder()) as reader:
        before = reader.search(list(QUESTIONS), mode="keyword")
        both.shards.update(documents(60, seed=5))
        assert reader.search(list(QUESTIONS), mode="keyword") == before
        reader.refresh()
        assert reader.search(list(QUESTIONS), mode="keyword") == both.shards.search(list(QUESTIONS), mode="keyword")


def test_empty_shards(tmp_path: Path) -> None:
    with Shards.create(tmp_path / "s", encoder=WordEncoder(), shards=3) as shards:
        for mode in ("late", "keyword", "hybrid"):
            assert shards.search("tea", mode=mode) == []  # type: ignore[call-overload]
        assert shards.fields() == {}
        assert list(shards.scan()) == []
        shards.compact(retrain=True)
        shards.add([{"id": "a", "text": WORDS[0]}])
        assert [hit.id for hit in shards.search("tea", mode="hybrid")] == ["a"]


def test_fields_of_many_documents_are_estimates(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_SAMPLED", 60)
    found = both.shards.fields()["lang"]
    assert found.estimated
    assert 100 < found.documents < 140


def test_a_row_says_its_shard(both: Both) -> None:
    with both.shards._current() as view:
        catalog = view.catalog
        assert isinstance(catalog, SharedCatalog)
        rows = catalog.rows_of([f"d{i}" for i in range(120)])
        assert sorted(row // 4 for row in rows.values()) == list(range(120))
        for row in rows.values():
            assert catalog.catalogs[row % 4].documents([row])
