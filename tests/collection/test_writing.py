"""Deleting by filter, and metadata that changes alone: in one transaction, without encoding again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.data import Document
from polyvec.errors import FilterError, InputError
from polyvec.index.catalog.filters import matches
from tests.conftest import WordEncoder

TEXTS = {"a": "red planet", "b": "blue ocean", "c": "green forest"}


@pytest.fixture
def index(tmp_path: Path, encoder: WordEncoder) -> Index:
    index = Index.create(tmp_path / "i.polyvec", encoder=encoder)
    index.add(
        [{"id": name, "text": text, "lang": "en", "year": 2000 + n} for n, (name, text) in enumerate(TEXTS.items())]
    )
    encoder.encoded = 0
    return index


def metadata(index: Index, name: str) -> dict[str, Any]:
    (document,) = index.get([name])
    assert document is not None
    return document.metadata


# -- delete --------------------------------------------------------------------------------------------------------------


def test_delete_by_filter(index: Index) -> None:
    assert index.delete(filter={"year": {"$gte": 2001}}) == 2
    assert [document.id for document in index.documents()] == ["a"]
    assert [hit.id for hit in index.search("blue ocean")] == ["a"]
    assert index.search("ocean", mode="keyword") == []
    assert index.delete(filter={"lang": "de"}) == 0
    assert index.verify() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected either a list of ids or a filter"),
        ({"ids": ["a"], "filter": {"lang": "en"}}, "expected either a list of ids or a filter"),
        ({"filter": {}}, "matches every document"),
        ({"ids": "a"}, "got one str"),
    ],
)
def test_delete_takes_ids_or_a_filter(index: Index, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        index.delete(**arguments)
    assert len(index) == 3


def test_a_wrong_filter_deletes_nothing(index: Index) -> None:
    with pytest.raises(FilterError, match=r"\$bigger"):
        index.delete(filter={"year": {"$bigger": 3}})
    assert len(index) == 3


def test_deleting_more_than_one_statement_holds(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "v.polyvec", dim=4)
    count = 1300
    index.add_vectors(
        [f"d{i}" for i in range(count)], np.ones((count, 1, 4)), metadata=[{"n": i} for i in range(count)]
    )
    assert index.delete(filter={"n": {"$gte": 20}}) == count - 20
    assert (len(index), index.verify()) == (20, [])


# -- update_metadata -------------------------------------------------------------------------------------------------------


def test_fields_are_joined_and_none_removes(index: Index, encoder: WordEncoder) -> None:
    hits = index.search("red planet blue")
    assert index.update_metadata({"a": {"year": 1999, "tags": ["x"], "lang": None}, "b": {"year": 2001}}) == 1
    assert metadata(index, "a") == {"year": 1999, "tags": ["x"]}
    assert metadata(index, "b") == {"lang": "en", "year": 2001}
    assert [(hit.id, hit.score) for hit in index.search("red planet blue")] == [(hit.id, hit.score) for hit in hits]
    assert [hit.id for hit in index.search("planet", filter={"tags": "x"})] == ["a"]
    assert index.search("planet", filter={"lang": "en", "year": 2000}) == []
    assert encoder.encoded == 0, "metadata alone is encoded by nobody"
    assert [document.id for document in index.documents()] == ["a", "b", "c"]
    assert index.verify() == []


def test_it_is_durable_and_others_see_it(index: Index, encoder: WordEncoder) -> None:
    with Index.open(index.path, encoder=encoder) as reader:
        index.update_metadata({"c": {"größe": {"wald": "Ａ"}}})
        assert "größe" not in metadata(reader, "c")
        reader.refresh()
        assert metadata(reader, "c")["größe"] == {"wald": "Ａ"}
        assert [hit.id for hit in reader.search("forest", filter={"größe.wald": "A"})] == ["c"]
    index.close()
    with Index.open(index.path, encoder=encoder) as again:
        assert metadata(again, "c")["größe"] == {"wald": "Ａ"}


def test_a_title_that_changes_is_encoded(index: Index, encoder: WordEncoder) -> None:
    assert index.update_metadata({"a": {"title": "Mars", "year": 1}, "b": {"year": 2}}) == 2
    assert encoder.encoded == 1
    assert metadata(index, "a") == {"lang": "en", "title": "Mars", "year": 1}
    assert metadata(index, "b")["year"] == 2
    assert index.search("Mars", k=1)[0].score == pytest.approx(1.0, abs=1e-2)
    assert [hit.id for hit in index.search("mars", mode="keyword")] == ["a"]
    assert index.update_metadata({"a": {"title": None}}) == 1
    assert index.search("mars", mode="keyword") == []
    assert index.get(["a"]) == [Document("a", TEXTS["a"], {"lang": "en", "year": 1})]
    assert (len(index), index.verify()) == (3, [])


def test_vectors_without_a_text_keep_theirs(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "v.polyvec", dim=4)
    index.add_vectors(["a"], [np.eye(4)[:2]], metadata=[{"text": "kept beside"}])
    assert index.update_metadata({"a": {"title": "Mars", "text": "other"}}) == 1
    (hit,) = index.search_vectors(np.eye(4)[:2])
    assert (hit.metadata, hit.score) == ({"title": "Mars", "text": "other"}, pytest.approx(2.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": {"year": 1}, "nowhere": {"year": 1}}, "'nowhere' is not in the index"),
        ({"a": {"year": 1}, "b": {"text": "new words"}}, "Use update to replace the document"),
        ({"a": {"year": 1}, "b": {"year": object()}}, "not plain JSON"),
        ({"a": {"year": 1}, "b": None}, "has None, expected a dict of fields"),
        ({"a": {"year": 1}, "b": "year"}, "expected a dict of fields"),
        ({"1": {"year": 1}, 1: {"year": 1}}, "'1' comes twice"),
        ({"": {"year": 1}}, "blank"),
        ([("a", {"year": 1})], "expected a dict of ids"),
    ],
)
def test_what_does_not_fit_changes_nothing(index: Index, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        index.update_metadata(changes)
    assert metadata(index, "a") == {"lang": "en", "year": 2000}
    assert index.verify() == []


def test_an_encoder_that_fails_changes_nothing(index: Index, encoder: WordEncoder) -> None:
    def failing(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no memory")

    encoder.stream_documents = failing  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no memory"):
        index.update_metadata({"a": {"year": 1}, "b": {"title": "Sea"}})
    assert metadata(index, "a")["year"] == 2000
    assert (len(index), index.verify()) == (3, [])


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.sampled_from(["x", "é", "e\u0301", 1.5])
    | st.lists(st.integers(0, 2))
)
FIELDS = st.dictionaries(
    st.sampled_from(["title", "n", "größe", "a.b", "lang"]), VALUES | st.fixed_dictionaries({"b": VALUES})
)
CONDITIONS: list[dict[str, Any]] = [
    {"n": 1}, {"n": {"$exists": False}}, {"größe": "é"}, {"a.b": {"$gte": 1}}, {"lang": {"$in": ["x", 1, None]}},
]  # fmt: skip


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.dictionaries(st.sampled_from("abc"), FIELDS, max_size=3), max_size=4))
def test_any_changes_equal_those_of_a_dictionary(index: Index, rounds: list[dict[str, dict[str, Any]]]) -> None:
    model = {document.id: dict(document.metadata) for document in index.documents()}
    for changes in rounds:
        before = {name: json.dumps(fields) for name, fields in model.items()}
        for name, fields in changes.items():
            model[name] = {
                key: value for key, value in {**model[name], **fields}.items() if key not in fields or value is not None
            }
        different = sum(json.dumps(fields) != before[name] for name, fields in model.items())
        assert index.update_metadata(changes) == different
    assert {document.id: document.metadata for document in index.documents()} == model
    for condition in CONDITIONS:
        found = {document.id for document in index.scan(filter=condition)}
        assert found == {name for name, fields in model.items() if matches(condition, fields)}
    assert index.verify() == []
