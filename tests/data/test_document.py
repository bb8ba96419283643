"""What a document may be: whatever comes in as a dict, a Document or beside vectors is kept whole, or refused with its place."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import json
import math
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, rerank
from polyvec.data import Document, as_documents
from polyvec.data.document import LONGEST_ID, checked_id
from polyvec.data.metadata import MOST_BYTES, MOST_DEPTH, checked_metadata
from polyvec.errors import InputError
from tests.conftest import WordEncoder

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.dictionaries(TEXT, PLAIN, max_size=4)
UNFIT = st.sampled_from(
    [
        math.nan, math.inf, np.float32("nan"), np.longdouble("inf"), 2**63, -(2**63) - 1, 10**5000, np.uint64(2**63), "a\0",
        "\udc00", 1j, b"bytes", {1, 2}, decimal.Decimal("1.5"), uuid.UUID(int=7), object(), np.arange(3), np.array(1.0), range(3),
        datetime.timedelta(1), np.timedelta64(1, "s"), np.datetime64("NaT"), {1: "one"}, {None: 1}, {"\ud800": 1}, {"a\0b": 1}, len,
    ]
)  # fmt: skip


class Color(str, enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


def written(metadata: Any) -> str:
    """Metadata as JSON, in which 1, 1.0 and true differ."""
    return json.dumps(metadata, sort_keys=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIELDS)
def test_metadata_comes_back_as_it_was_by_every_way_in(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    encoder = WordEncoder()
    ways: list[dict[str, Any] | Document] = [
        {"id": "nested", "text": "a word", "metadata": fields},
        Document("made", "a word", fields),
    ]
    if not fields.keys() & {"id", "_id", "text", "metadata"}:
        ways.append({**fields, "id": "flat", "text": "a word"})
    with Index.create(tmp_path_factory.mktemp("d") / "i", encoder=encoder) as index:
        index.add(ways)
        index.add_vectors(["vectors"], [np.ones((1, 16))], metadata=[fields])
        stored = list(index.documents())
        assert [written(document.metadata) for document in stored] == [written(fields)] * (len(ways) + 1)
        assert [hit.metadata for hit in rerank("word", ways, encoder=encoder)] == [fields] * len(ways)
        again = list(as_documents(stored[:-1]))
        assert [written(document.metadata) for document in again] == [written(fields)] * len(ways)
        assert len(index.search_vectors(np.ones((1, 16)), k=9, filter={"no such field": {"$exists": False}})) == len(
            stored
        )


@given(unfit=UNFIT, path=st.lists(st.sampled_from(["name", "odd name", 0]), max_size=4))
def test_a_value_that_json_cannot_hold_is_refused_with_its_path(unfit: Any, path: list[Any]) -> None:
    value, shown = unfit, ""
    for part in reversed(path):
        value, shown = ([value], "[0]" + shown) if part == 0 else ({part: value}, _step(part) + shown)
    for document in ({"id": "a", "text": "b", "x": value}, Document("a", "b", {"x": value})):
        with pytest.raises(InputError) as caught:
            list(as_documents([document]))
        assert str(caught.value).startswith(f"document 0: metadata.x{shown}")
        assert "of document 'a' is not plain JSON: " in str(caught.value)
        assert str(caught.value).isprintable()
    with pytest.raises(InputError) as caught:
        checked_metadata({"x": value}, "entry 3", "a")
    assert str(caught.value).startswith(f"entry 3: metadata.x{shown}")


def _step(part: str) -> str:
    return f".{part}" if part.isidentifier() else f"[{part!r}]"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.float16(2), 2.0),
        (np.int8(-3), -3),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (Color.RED, "red"),
        (Size.LARGE, 3),
        ((1, (2, "three")), [1, [2, "three"]]),
        (datetime.date(2020, 2, 29), "2020-02-29"),
        (datetime.datetime(2020, 2, 29, 12, 30, tzinfo=datetime.timezone.utc), "2020-02-29T12:30:00+00:00"),
        (datetime.time(23, 59), "23:59:00"),
        (np.datetime64("2020-02-29"), "2020-02-29"),
        (np.datetime64("2020-02-29T12:30"), "2020-02-29T12:30"),
        (MappingProxyType({"a": (np.int64(1),)}), {"a": [1]}),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_near_to_json_becomes_it(given: Any, stored: Any) -> None:
    for document in ({"id": "a", "text": "b", "x": given}, Document("a", "b", {"x": given})):
        (found,) = as_documents([document])
        assert written(found.metadata) == written({"x": stored})


def test_metadata_is_a_copy() -> None:
    fields = {"tags": ["one"], "author": {"name": "A"}}
    before = copy.deepcopy(fields)
    (document,) = as_documents([Document("a", "b", fields)])
    fields["tags"].append("two")  # type: ignore[attr-defined]
    fields["author"]["name"] = "B"  # type: ignore[index]
    assert document.metadata == before


def test_depth_and_size_have_limits() -> None:
    def nested(depth: int) -> Any:
        return {"x": nested(depth - 1)} if depth else 1

    assert checked_metadata(nested(MOST_DEPTH), "", "a") == nested(MOST_DEPTH)
    with pytest.raises(InputError, match="more than 100 deep"):
        checked_metadata(nested(MOST_DEPTH + 1), "", "a")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InputError, match="more than 100 deep"):
        checked_metadata({"x": loop}, "", "a")
    for large in ("x" * (MOST_BYTES + 1), ["x" * 1024] * (MOST_BYTES // 1000), [0] * (MOST_BYTES // 8 + 1)):
        with pytest.raises(InputError, match="bytes in all"):
            checked_metadata({"x": large}, "", "a")


def test_the_deepest_metadata_can_be_filtered(tmp_path: Path) -> None:
    value: Any = 1
    for _ in range(MOST_DEPTH - 1):
        value = [value]
    with Index.create(tmp_path / "i", dim=2) as index:
        index.add_vectors(["deep"], [np.ones((1, 2))], metadata=[{"x": value, "y": 1}])
        assert [hit.id for hit in index.search_vectors(np.ones((1, 2)), filter={"y": 1})] == ["deep"]  # type: ignore[union-attr]
        assert index.info()["documents"] == 1


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "document"),
    [
        ({"_id": "m1", "id": 17, "text": "t"}, Document("m1", "t", {"id": 17})),
        ({"_id": 17, "id": "17", "text": "t"}, Document("17", "t", {})),
        ({"_id": None, "id": "a", "text": "t"}, Document("a", "t", {})),
        ({"id": "a", "text": "t", "metadata": {"_id": "z", "id": 3, "text": "u"}},
         Document("a", "t", {"_id": "z", "id": 3, "text": "u"})),
        ({"id": "a", "text": "t", "metadata": {"_id": {"$oid": "5f"}}}, Document("a", "t", {"_id": {"$oid": "5f"}})),
        ({"id": "a", "text": "t", "lang": "de", "metadata": {"lang": "de", "n": 1}}, Document("a", "t", {"lang": "de", "n": 1})),
        ({"id": "a", "text": "t", "metadata": None}, Document("a", "t", {})),
        ({"id": "a", "text": "t", "metadata": "words"}, Document("a", "t", {"metadata": "words"})),
        ({"id": "a", "text": "t", "metadata": {"metadata": {"x": 1}}}, Document("a", "t", {"metadata": {"x": 1}})),
        ({"id": "a", "text": "t", "x": None}, Document("a", "t", {"x": None})),
    ],
)  # fmt: skip
def test_no_field_is_lost(row: dict[str, Any], document: Document) -> None:
    (found,) = as_documents([row])
    assert found == document
    assert list(as_documents([found])) == [found]
    (hit,) = rerank("t", [found], encoder=WordEncoder())
    assert (hit.id, hit.text, hit.metadata) == (found.id, found.text, found.metadata)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a", "text": "t", "lang": "de", "metadata": {"lang": "en"}},
        {"id": "a", "text": "t", "n": 1, "metadata": {"n": True}},
        {"id": "a", "text": "t", "n": None, "metadata": {"n": 0}},
        {"_id": "m1", "id": 17, "text": "t", "metadata": {"id": 18}},
    ],
)
def test_a_field_with_two_values_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"inside `metadata`.*Give it once"):
        list(as_documents([row]))


# -- ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [42, np.int64(42), np.uint8(42), "42", np.str_("42")], ids=lambda v: type(v).__name__)
def test_whole_numbers_are_their_digits_everywhere(tmp_path: Path, encoder: WordEncoder, given: Any) -> None:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add([{"id": given, "text": "answer"}, {"id": -7, "text": "other answer"}])
        assert [document.id for document in index.documents()] == ["42", "-7"]
        assert given in index
        assert [document is not None for document in index.get([given, -7, 7])] == [True, True, False]
        assert [hit.id for hit in index.search("answer", subset=[given])] == ["42"]
        assert index.update([{"_id": given, "text": "new answer"}]).replaced == 1
        assert index.add_vectors([given], [np.ones((1, 16))], existing="skip").skipped == 1
        with pytest.raises(InputError, match="'42' comes twice"):
            index.add_vectors([given, "42"], [np.ones((1, 16))] * 2, existing="replace")
        assert index.delete([given]) == 1
        assert given not in index
        assert rerank("answer", [{"id": given, "text": "answer"}], encoder=encoder)[0].id == "42"


@pytest.mark.parametrize(
    "unfit",
    [None, True, np.bool_(False), np.float64(3), "", " \t", "\u2003", "a\0", "\ud800", "x" * (LONGEST_ID + 1), "é" * LONGEST_ID,
     10**5000, b"a", ("a",), uuid.UUID(int=1), np.timedelta64(3), np.array(3)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_can_be_no_id_is_refused_everywhere(tmp_path: Path, encoder: WordEncoder, unfit: Any) -> None:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add([{"id": "a", "text": "b"}])
        for call in (
            lambda: index.add([{"id": unfit, "text": "b"}]),
            lambda: index.add([{"_id": unfit, "text": "b"}]),
            lambda: index.add([Document(unfit, "b")]),
            lambda: index.add_vectors([unfit], [np.ones((1, 16))]),
            lambda: index.get(["a", unfit]),
            lambda: index.delete(["a", unfit]),
            lambda: index.search("b", subset=["a", unfit]),
            lambda: unfit in index,
            lambda: rerank("b", [{"id": unfit, "text": "b"}], encoder=encoder),
        ):
            with pytest.raises(InputError, match="id") as caught:
                call()
            assert str(caught.value).isprintable()
        assert [document.id for document in index.documents()] == ["a"]


@given(TEXT.filter(lambda text: text.strip() and len(text.encode()) <= LONGEST_ID))
def test_any_other_text_is_an_id_as_it_is(identifier: str) -> None:
    assert checked_id(identifier, "here") == identifier


def test_the_longest_id(tmp_path: Path) -> None:
    longest = "x" * LONGEST_ID
    with Index.create(tmp_path / "i", dim=2) as index:
        index.add_vectors([longest], [np.ones((1, 2))])
        assert longest in index


# -- texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["before\0after", "\0", "a\u2028b", "\ufeffword", "\N{GRINNING FACE}"])
def test_any_character_of_unicode_may_stand_in_a_text(tmp_path: Path, text: str) -> None:
    class AnyText(WordEncoder):
        def _encode(self, text: str, limit: int) -> Any:
            return super()._encode(f"word {text}", limit)

    with Index.create(tmp_path / "i", encoder=AnyText()) as index:
        index.add([{"id": "a", "text": text}, {"id": "b", "text": "other after"}])
        assert [document.text for document in index.documents()] == [text, "other after"]
        assert index.search(text, k=1)[0].text == text
        index.search(text, mode="keyword")
        assert {hit.id for hit in index.search("after", mode="keyword")} == ({"a", "b"} if "after" in text else {"b"})
        index.delete(["a"])
        assert [hit.id for hit in index.search("after", mode="keyword")] == ["b"]
        index.compact()
        assert index.verify() == []


@pytest.mark.parametrize("text", [None, 3, b"bytes", "", " \n", "half \ud83d", ["text"]])
def test_what_is_no_text_is_refused(tmp_path: Path, encoder: WordEncoder, text: Any) -> None:
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        for document in ({"id": "a", "text": text}, Document("a", text)):
            with pytest.raises(InputError, match=r"document 0: .*text"):
                index.add([document])
        for mode in ("late", "keyword", "hybrid"):
            with pytest.raises(InputError, match=r"query 0|queries"):
                index.search([text], mode=mode)
        with pytest.raises(InputError, match="query"):
            rerank(text, ["text"], encoder=encoder)
