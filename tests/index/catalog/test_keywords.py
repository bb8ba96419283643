"""Keyword and hybrid search: words are found in any script, nothing in a query is syntax, and updates are followed."""

from __future__ import annotations

import functools
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import InputError
from polyvec.index.catalog.documents_table import DOCUMENTS_SCHEMA
from polyvec.index.catalog.keywords import counted_tokens, indexed_tokens, match_expression, query_terms, tokenize
from polyvec.index.engine.options import SearchOptions
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
    index = Index.create(tmp_path / "k.polyvec", encoder=encoder)
    index.add([{"id": lang, "text": text, "lang": lang} for lang, text in TEXTS.items()])
    return index


@pytest.mark.parametrize("lang", list(TEXTS))
def test_a_word_in_running_text_is_found(index: Index, lang: str) -> None:
    assert [hit.id for hit in index.search(QUESTIONS[lang], mode="keyword")] == [lang]


def test_keywords_need_no_model(index: Index, encoder: WordEncoder) -> None:
    index.close()
    encoder.stream_queries = None  # type: ignore[assignment]
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
    index = Index.create(tmp_path / "t.polyvec", encoder=encoder)
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
    assert expression.count('"') == 2 * len(set(query_terms(text)))


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
    assert tokenize("東京タワー abc") == ["東京", "京タ", "タワ", "ワー", "東", "京", "タ", "ワ", "ー", "abc"]
    assert tokenize("猫") == ["猫"]
    assert tokenize("ジョン・スミス、時々") == [*tokenize("ジョン スミス"), "時々", "時", "々"]
    assert tokenize("हिन्दी भाषा में") == ["हिन्दी", "भाषा", "में"]
    assert tokenize("مَرحبا עִברית") == ["مرحبا", "עברית"]
    assert tokenize("🍕 👩🏽\u200d🚀 🇩🇪") == ["🍕", "👩", "🚀", "🇩🇪"]
    assert tokenize("Polyvec™ costs 5㎏") == ["polyvec", "tm", "costs", "5", "kg"]
    assert tokenize("C++ C# .NET") == ["c", "c", "net"]
    assert tokenize("?! ・ +") == []


def found(document: str, query: str) -> bool:
    """The definition: some term of the query is a token of the document."""
    return not {term.token for term in query_terms(query)}.isdisjoint(tokenize(document))


@pytest.mark.parametrize(
    "spellings",
    [
        ["İstanbul", "istanbul", "ISTANBUL", "ıstanbul", "i̇stanbul"],
        ["Zürich", "Zu\u0308rich", "ＺÜＲＩＣＨ", "ZÜRICH"],
        ["Straße", "STRASSE", "strasse", "STRAẞE"],
        ["ﬁnanziell", "finanziell", "FINANZIELL"],
        ["Zusammen\u00adarbeit", "\ufeffZusammenarbeit", "Zusammen\u2060arbeit", "\u202bZusammenarbeit\u202c"],
        ["ΟΔΥΣΣΕΎΣ", "Οδυσσεύς", "οδυσσεύσ"],
        ["ガラス", "ｶﾞﾗｽ", "カ\u3099ラス"],
        ["한국어", "\u1112\u1161\u11ab국어"],
        ["2024", "２０２４", "٢٠٢٤", "२०२४", "๒๐๒๔"],
        ["محمد", "مُحَمَّد", "محـــمد", "ﻣﺤﻤﺪ"],
        ["ירושלים", "יְרוּשָׁלַיִם"],
        ["می\u200cخواهم", "میخواهم"],
        ["น้ำ", "น้\u0e4d\u0e32", "น\u0e4d้\u0e32"],
        ["葛\U000e0100城", "葛城"],
        ["п'ять", "п’ять", "п\u02bcять"],
        ["क़लम", "क\u093cलम"],
        ["й", "и\u0306"],
    ],
)
def test_spellings_of_a_word_meet(spellings: list[str]) -> None:
    for document in spellings:
        for query in spellings:
            assert set(query_terms(query)) & set(query_terms(document)), (document, query)
            assert found(f"before {document} behind", query)


def test_parts_of_a_persian_compound_are_found() -> None:
    assert found("کتاب\u200cها", "کتاب")
    assert not found("کتابها", "کتاب")


RUNNING = {
    "Japanese": "私は猫が大好きです毎日水を飲みます",
    "Chinese": "我们在山上喝茶看见一只虎",
    "Thai": "ประเทศไทยมีเมืองหลวง",
    "Lao": "ນະຄອນຫຼວງວຽງຈັນ",
    "Khmer": "ភ្នំពេញជារាជធានី",
    "Myanmar": "ရန်ကုန်မြို့",
    "Javanese": "ꦧꦱꦗꦮꦏꦸꦮꦶ",
    "Balinese": "ᬩᬲᬩᬮᬶᬓᬸᬤᬭ",
    "Tai Tham": "ᨽᩣᩈᩣᩃ᩶ᩣ᩠ᨶᨶᩣ",
    "New Tai Lue": "ᦅᧄᦺᦑᦟᦹᧉ",
    "Tai Viet": "ꪼꪕꪒꪾ",
    "Tai Le": "ᥖᥭᥰᥖᥬᥳ",
    "Yi": "ꆈꌠꁱꂷ",
    "Cuneiform": "𒀭𒂗𒆤𒉽",
    "Hieroglyphs": "𓀀𓀁𓀂𓀃",
    "Rare Han": "𠀀𠀁𪛖𰀀",
}


@pytest.mark.parametrize("script", list(RUNNING))
def test_every_character_and_every_piece_of_running_text_is_found(keywords: Keywords, script: str) -> None:
    text = RUNNING[script]
    keywords.add(1, text)
    keywords.add(2, "something else")
    for first in range(len(text)):
        for length in (1, 2, 5):
            piece = text[first : first + length]
            if tokenize(piece):
                assert keywords.search(piece) == [1], piece


LETTERS = st.characters(whitelist_categories=("Lu", "Ll", "Lt", "Lo", "Nd"))
WORDS = st.text(LETTERS, min_size=1, max_size=8).filter(lambda word: bool(tokenize(word)))
FORMS: list[Callable[[str], str]] = [
    str.upper,
    str.lower,
    str.casefold,
    *(functools.partial(unicodedata.normalize, form) for form in ("NFC", "NFD", "NFKC", "NFKD")),
]


@settings(max_examples=1000, deadline=None)
@given(words=st.lists(WORDS, min_size=1, max_size=4))
def test_a_word_in_any_form_finds_its_text(words: list[str]) -> None:
    text = " ".join(words)
    for document in (text, *(form(text) for form in FORMS)):
        tokens = set(tokenize(document))
        for word in words:
            for query in (word, *(form(word) for form in FORMS)):
                assert not {term.token for term in query_terms(query)}.isdisjoint(tokens), (document, query)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=30), query=st.text(max_size=10))
def test_the_index_finds_what_the_definition_finds(text: str, query: str) -> None:
    keywords = Keywords()
    keywords.add(1, text)
    assert keywords.vocabulary() == set(indexed_tokens(text))
    for asked in (query, text, *text):
        assert keywords.search(asked) == ([1] if found(text, asked) else []), asked
    keywords.close()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20))
def test_folding_twice_changes_no_token(text: str) -> None:
    assert set(tokenize(" ".join(tokenize(text)))) == set(tokenize(text))


def test_counts_of_bm25_are_those_of_words_and_characters(keywords: Keywords) -> None:
    assert len(indexed_tokens("私は猫が好き")) == 6
    assert counted_tokens("私は猫") == ["私は", "は猫"]
    keywords.add(1, "猫猫猫猫猫猫")
    keywords.add(2, "猫はここです")
    keywords.add(3, "何もない部屋")
    keywords.add(4, "何もない庭園")
    keywords.add(5, "何もない道路")
    assert keywords.search("猫") == [1, 2]


class Keywords:
    """The keyword index alone, in memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        self._connection.execute(DOCUMENTS_SCHEMA.split(";\n")[1])
        self._connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab('keywords', 'row')")

    def add(self, row: int, text: str) -> None:
        self._connection.execute(
            "INSERT INTO keywords (rowid, tokens) VALUES (?, ?)", (row, " ".join(indexed_tokens(text)))
        )

    def search(self, query: str) -> list[int]:
        expression = match_expression(query)
        asked = "SELECT rowid FROM keywords WHERE keywords MATCH ? ORDER BY bm25(keywords), rowid"
        return [row for (row,) in self._connection.execute(asked, (expression,))] if expression else []

    def vocabulary(self) -> set[str]:
        return {term for (term,) in self._connection.execute("SELECT term FROM words")}

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def keywords() -> Iterator[Keywords]:
    keywords = Keywords()
    yield keywords
    keywords.close()
