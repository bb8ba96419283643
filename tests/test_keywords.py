"""Keyword and hybrid search: words are found in any script, nothing in a query is syntax, and updates are followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import InputError
from polyvec.index.keywords import match_expression, tokenize
from polyvec.index.options import SearchOptions
from tests.conftest import WordEncoder

TEXTS = {
    "de": "Der Donaudampfer fährt über die Brücke nach Köln.",
    "zh": "光合作用是植物利用光能制造糖的过程。",
    "ja": "東京タワーは港区にある電波塔です。",
    "th": "ประเทศไทยมีเมืองหลวงคือกรุงเทพมหานคร",
    "ko": "서울은 대한민국의 수도이다.",
    "ar": "القاهرة عاصمة مصر وأكبر مدنها.",
    "hi": "दिल्ली भारत की राजधानी है।",
    "he": "יְרוּשָׁלַיִם היא עיר עתיקה.",
}
QUESTIONS = {
    "de": "brücke",
    "zh": "植物",
    "ja": "電波塔",
    "th": "เมืองหลวง",
    "ko": "서울은",
    "ar": "عاصمة",
    "hi": "राजधानी",
    "he": "עתיקה",
}


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Index:
    index = Index.create(tmp_path / "k.polyvec", encoder=encoder)  # type: ignore[arg-type]
    index.add([{"id": lang, "text": text, "lang": lang} for lang, text in TEXTS.items()])
    return index


@pytest.mark.parametrize("lang", list(TEXTS))
def test_a_word_in_running_text_is_found(index: Index, lang: str) -> None:
    assert [hit.id for hit in index.search(QUESTIONS[lang], mode="keyword")] == [lang]


def test_keywords_need_no_model(index: Index, encoder: WordEncoder) -> None:
    index.close()
    encoder.encode_queries = None  # type: ignore[assignment]
    with Index.open(index.path) as opened:
        (hit,) = opened.search("köln", mode="keyword", k=3)
        assert hit.score > 0
        assert opened.search("???", mode="keyword") == []
        with pytest.raises(InputError, match="empty"):
            opened.search("  ", mode="keyword")


def test_updates_deletes_and_compaction_are_followed(index: Index) -> None:
    index.update([{"id": "de", "text": "Nun steht hier etwas anderes"}])
    index.delete(["zh"])
    assert index.search("brücke", mode="keyword") == []
    assert index.search("植物", mode="keyword") == []
    assert [hit.id for hit in index.search("anderes", mode="keyword")] == ["de"]
    assert index.verify() == []
    index.compact()
    assert [hit.id for hit in index.search("anderes", mode="keyword")] == ["de"]
    assert index.verify() == []
    files = b"".join(path.read_bytes() for path in index.path.rglob("*") if path.is_file())
    assert b"donaudampfer" not in files, "a deleted word is still on disk"


def test_subset_ties_and_k(tmp_path: Path, encoder: WordEncoder) -> None:
    index = Index.create(tmp_path / "t.polyvec", encoder=encoder)  # type: ignore[arg-type]
    index.add([{"id": name, "text": "one word"} for name in "zyx"] + [{"id": "a", "text": "something else"}] * 1)
    assert [hit.id for hit in index.search("word", mode="keyword", k=2)] == ["z", "y"]
    assert [hit.id for hit in index.search("word", mode="keyword", subset=["x", "a", "nowhere"])] == ["x"]
    assert index.search("word", mode="keyword", subset=[]) == []


def test_hybrid_fuses_both_and_shows_the_parts(index: Index) -> None:
    hits = index.search("hauptstadt brücke", options=SearchOptions(mode="hybrid", fusion="rank", k=3))
    late = {hit.id: hit.score for hit in index.search("hauptstadt brücke", k=100)}
    keyword = {hit.id: hit.score for hit in index.search("hauptstadt brücke", mode="keyword", k=100)}
    assert hits[0].id == "de"
    assert hits[0].parts == {"late": late["de"], "keyword": keyword["de"]}
    rank = list(late).index("de") + 1
    assert hits[0].score == pytest.approx(1 / (60 + rank) + 1 / 61)
    assert "parts" in hits[0].to_dict()
    assert hits[0].explain().highlights()
    assert [hit.rank for hit in hits] == [1, 2, 3]


def test_modes_are_checked(index: Index) -> None:
    with pytest.raises(InputError, match="mode='fuzzy'"):
        index.search("x", mode="fuzzy")  # type: ignore[call-overload]
    from polyvec import SearchOptions

    with pytest.raises(InputError, match="needs the query's text"):
        index.search_vectors(WordEncoder()._vector("x")[None], options=SearchOptions(mode="keyword"))


@given(st.text(max_size=60))
def test_nothing_in_a_query_is_syntax(text: str) -> None:
    expression = match_expression(text)
    assert expression.count('"') == 2 * len(set(tokenize(text)))


@pytest.mark.parametrize(
    "query",
    ['" OR 1=1 --', "NEAR(a b)", "a* AND (", "tokens:x", "^köln", "'; DROP TABLE documents; --", "brücke " * 5000],
)
def test_hostile_queries_are_words(index: Index, query: str) -> None:
    index.search(query, mode="keyword")
    index.search(" ".join(f"w{i}" for i in range(5000)) + query, mode="keyword")
    assert len(index) == len(TEXTS)


def test_tokens() -> None:
    assert tokenize("The cat's Ñandú-42 snake_case!") == ["the", "cat", "s", "ñandú", "42", "snake", "case"]
    assert tokenize("東京タワー abc") == ["東京", "京タ", "タワ", "ワー", "abc"]
    assert tokenize("猫") == ["猫"]
    assert tokenize("हिन्दी भाषा में") == ["हिन्दी", "भाषा", "में"]
    assert tokenize("مَرحبا עִברית") == ["مَرحبا", "עִברית"]
    assert tokenize("?!") == []
