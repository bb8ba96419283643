"""The tools themselves: answers stay within the budget, and what is left can be asked for, to the last character."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvec.collection.index import Index
from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.search.hits import Hit
from polyvec.serve.mcp_tools import MOST_HITS, AssistantTools
from tests.conftest import WordEncoder

DOCUMENTS = [
    {"id": "bees", "text": "Bees dance to tell where flowers are", "title": "Bees", "lang": "en", "year": 2001},
    {"id": "abejas", "text": "Las abejas bailan donde hay flowers", "lang": "es", "year": 1999},
    {"id": "moon", "text": "The moon is far away", "lang": "en"},
]


@pytest.fixture
def tools(tmp_path: Path, encoder: WordEncoder) -> Iterator[AssistantTools]:
    with Index.create(tmp_path / "nature.polyvec", encoder=encoder) as index:
        index.add(DOCUMENTS)
        yield AssistantTools({"nature": index})


def test_search_gives_the_index_own_hits_as_text_and_data(tools: AssistantTools) -> None:
    answer = tools.call("search", {"query": "bees flowers", "k": 2})
    hits = answer.data["hits"]
    assert [hit["id"] for hit in hits] == ["bees", "abejas"]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert hits[0]["text"] == DOCUMENTS[0]["text"]
    assert hits[0]["metadata"] == {"title": "Bees", "lang": "en", "year": 2001}
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert not hits[0]["cut"]
    assert 'id "bees" · Bees · en' in answer.text
    assert "Las abejas bailan" in answer.text
    assert answer.data["next_offset"] == 2
    assert "offset=2" in answer.text


def test_offset_goes_on_to_the_end(tools: AssistantTools) -> None:
    seen, offset = [], 0
    while offset is not None:
        data = tools.call("search", {"query": "flowers", "k": 2, "offset": offset}).data
        seen += [hit["id"] for hit in data["hits"]]
        offset = data["next_offset"]
    assert sorted(seen) == ["abejas", "bees", "moon"]
    assert "No more hits" in tools.call("search", {"query": "flowers", "offset": 3}).text


def test_a_filter_and_no_hits(tools: AssistantTools) -> None:
    data = tools.call("search", {"query": "flowers", "filter": {"year": {"$lt": 2000}}}).data
    assert [hit["id"] for hit in data["hits"]] == ["abejas"]
    empty = tools.call("search", {"query": "flowers", "filter": {"lang": "fi"}, "collection": None})
    assert empty.data["hits"] == []
    assert empty.data["next_offset"] is None
    assert "No hits" in empty.text


def test_get_gives_documents_and_names_the_missing(tools: AssistantTools) -> None:
    answer = tools.call("get", {"ids": ["moon", "sun", "bees", "moon"]})
    assert [document["id"] for document in answer.data["documents"]] == ["moon", "bees"]
    assert answer.data["missing"] == ["sun"]
    assert answer.data["next"] is None
    assert 'Not stored: ["sun"]' in answer.text


def test_collections(tools: AssistantTools) -> None:
    answer = tools.call("collections", {})
    (found,) = answer.data["collections"]
    fields = found.pop("fields")
    assert found == {"name": "nature", "documents": 3, "languages": {"en": 2, "es": 1}, "model": "words"}
    assert fields["lang"] == ["en", "es"]
    assert sorted(fields["year"]) == [1999, 2001]
    assert "nature: 3 documents, languages: en, es, model words; to filter by: " in answer.text
    assert '"lang" ("en", "es")' in answer.text


def test_fields_stay_within_the_budget(tmp_path: Path, encoder: WordEncoder) -> None:
    with Index.create(tmp_path / "wide.polyvec", encoder=encoder) as index:
        index.add([{"id": "1", "text": "a", **{f"field-{number}": "long value " * 9 for number in range(150)}}])
        answer = AssistantTools({"wide": index}, budget=1000).call("collections", {})
    assert 5 < len(answer.data["collections"][0]["fields"]) < 50
    assert _tokens(json.dumps(answer.data)) < 1200


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("serach", {}, "there is no such tool; expected one of search, get, collections"),
        ("search", {}, "the argument 'query' is missing"),
        ("search", {"query": None}, "the argument 'query' is missing"),
        ("search", {"query": 3}, "query=3: expected one question, as text"),
        ("search", {"query": ["a"]}, "expected one question, as text"),
        ("search", {"query": " "}, "is empty"),
        ("search", {"query": "a", "k": 0}, "k=0: expected a whole number of hits, at least 1"),
        ("search", {"query": "a", "k": MOST_HITS + 1}, f"at most {MOST_HITS}"),
        ("search", {"query": "a", "k": "3"}, "k='3': expected a whole number"),
        ("search", {"query": "a", "offset": -1}, "offset=-1: expected a whole number of hits to skip"),
        ("search", {"query": "a", "limit": 3}, "unknown argument 'limit'; expected some of query, k, filter"),
        ("search", {"query": "a", "filter": "de"}, "filter='de': expected an object"),
        ("search", {"query": "a", "filter": {"$foo": 1}}, "unknown operator '$foo'"),
        ("search", {"query": "a", "collection": "moon"}, "there is no such collection; expected one of nature"),
        ("search", {"query": "a", "collection": 3}, "there is no such collection"),
        ("get", {"ids": "moon"}, "ids='moon': expected a list of 1 to 100 ids"),
        ("get", {"ids": []}, "expected a list of 1 to 100 ids"),
        ("get", {"ids": [str(number) for number in range(101)]}, "expected a list of 1 to 100 ids"),
        ("get", {"ids": [None]}, "no id"),
        ("get", {"ids": ["moon"], "offset": -3}, "offset=-3"),
        ("collections", {"name": "x"}, "unknown argument 'name'; it takes none"),
    ],
)
def test_bad_arguments_are_one_sentence(tools: AssistantTools, tool: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        tools.call(tool, arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_several_collections_need_a_name(tmp_path: Path, encoder: WordEncoder) -> None:
    with (
        Index.create(tmp_path / "a.polyvec", encoder=encoder) as one,
        Index.create(tmp_path / "b.polyvec", encoder=encoder) as other,
    ):
        one.add([{"id": "1", "text": "alpha"}])
        other.add([{"id": "2", "text": "alpha"}])
        tools = AssistantTools({"a": one, "b": other})
        with pytest.raises(InputError, match="say which one to use: a, b"):
            tools.call("search", {"query": "alpha"})
        assert tools.call("search", {"query": "alpha", "collection": "b"}).data["hits"][0]["id"] == "2"
        assert [one["name"] for one in tools.call("collections", {}).data["collections"]] == ["a", "b"]


@pytest.mark.parametrize("budget", [0, 199, 1.5, "many"])
def test_a_budget_that_is_none(budget: Any) -> None:
    with pytest.raises(InputError, match="budget"):
        AssistantTools({}, budget=budget)


class Shelf:
    """A collection that finds every document, in order, and needs no model."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def search(self, query: str, *, k: int, filter: Any) -> list[Hit]:
        found = enumerate(self.documents[:k], start=1)
        return [Hit(d.id, 1.0, rank, d.text, d.metadata, normalized_score=0.5) for rank, d in found]

    def get(self, ids: Any) -> list[Document | None]:
        stored = {document.id: document for document in self.documents}
        return [stored.get(one) for one in ids]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).flatmap(
    lambda piece: st.integers(1, 80).map(lambda times: piece * times)
)
shelves = st.lists(texts, min_size=1, max_size=12).map(
    lambda found: [Document(f"d{number}", text, {"lang": "xx"}) for number, text in enumerate(found)]
)


def _tokens(answer: str) -> float:
    return len(answer.encode()) / 3


@settings(max_examples=50, deadline=None)
@given(documents=shelves, budget=st.integers(200, 3000), k=st.integers(1, 12))
def test_every_hit_is_reached_within_the_budget(documents: list[Document], budget: int, k: int) -> None:
    tools = AssistantTools({"shelf": Shelf(documents)}, budget=budget)
    seen: list[dict[str, Any]] = []
    offset = 0
    while offset is not None:
        answer = tools.call("search", {"query": "?", "k": k, "offset": offset})
        assert _tokens(json.dumps(answer.data, ensure_ascii=False)) <= budget * 1.2
        assert _tokens(answer.text) <= budget * 1.2
        assert answer.data["next_offset"] is None or answer.data["next_offset"] > offset
        seen += answer.data["hits"]
        offset = answer.data["next_offset"]
    assert [hit["id"] for hit in seen] == [document.id for document in documents]
    for hit, document in zip(seen, documents, strict=True):
        assert document.text.startswith(hit["text"])
        assert hit["cut"] == (hit["text"] != document.text)


@settings(max_examples=50, deadline=None)
@given(documents=shelves, budget=st.integers(200, 3000))
def test_every_character_is_reached_within_the_budget(documents: list[Document], budget: int) -> None:
    tools = AssistantTools({"shelf": Shelf(documents)}, budget=budget)
    read = dict.fromkeys((document.id for document in documents), "")
    following: dict[str, Any] | None = {"ids": list(read)}
    while following is not None:
        data = tools.call("get", following).data
        assert _tokens(json.dumps(data, ensure_ascii=False)) <= budget * 1.2 + 40
        assert data["next"] != following
        for document in data["documents"]:
            assert document["offset"] == len(read[document["id"]])
            read[document["id"]] += document["text"]
        following = data["next"]
    assert read == {document.id: document.text for document in documents}


def test_metadata_that_is_too_long_makes_room_for_the_text() -> None:
    tools = AssistantTools({"shelf": Shelf([Document("d", "short text", {"notes": "x" * 9000})])}, budget=300)
    (hit,) = tools.call("search", {"query": "?"}).data["hits"]
    assert hit["text"] == "short text"
    assert hit["metadata"] == {}
    assert hit["metadata_left_out"] is True


def test_a_cut_falls_between_words() -> None:
    tools = AssistantTools({"shelf": Shelf([Document("d", "photosynthesis " * 300, {})])}, budget=300)
    answer = tools.call("search", {"query": "?"})
    (hit,) = answer.data["hits"]
    assert hit["cut"]
    assert set(hit["text"].split()) == {"photosynthesis"}
    assert "…" in answer.text
    assert "get(ids) gives them whole" in answer.text
