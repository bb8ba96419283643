"""Documents one after another in the order of their ids, and what their metadata's fields are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index
from polyvec.errors import FilterError, InputError, StorageError
from polyvec.index.catalog import listing

IDS = ["b", "a", "ä", "Z", "10", "9", "z\u2028", "\U0001f600"]


def filled(path: Path, metadata: dict[str, dict[str, Any]]) -> Index:
    index = Index.create(path / "i.polyvec", dim=2)
    index.add_vectors(list(metadata), np.ones((len(metadata), 1, 2)), metadata=list(metadata.values()))
    return index


def ids(documents: Any) -> list[str]:
    return [document.id for document in documents]


def test_scan_goes_in_the_order_of_ids(tmp_path: Path) -> None:
    index = filled(tmp_path, {name: {"n": n} for n, name in enumerate(IDS)})
    assert ids(index.scan()) == sorted(IDS)
    assert ids(index.scan(limit=3)) == sorted(IDS)[:3]
    assert ids(index.scan(after="a", filter={"n": {"$lt": 5}})) == ["b", "ä"]
    assert ids(index.scan(after="\U0001f600")) == []
    assert [document.metadata for document in index.scan(limit=1)] == [{"n": 4}]


def test_a_walk_in_pages_goes_on_over_changes(tmp_path: Path) -> None:
    index = filled(tmp_path, {f"d{n:03}": {"n": n} for n in range(20)})
    seen, last = [], None
    while page := ids(index.scan(after=last, limit=6)):
        seen += page
        last = page[-1]
        index.delete([last])  # the next page begins behind an id that is gone
        index.add_vectors([page[0]], np.ones((1, 1, 2)), existing="replace")
    assert seen == [f"d{n:03}" for n in range(20)]


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 30), data=st.data())
def test_pages_of_any_size_give_each_document_once(
    tmp_path_factory: pytest.TempPathFactory, size: int, data: st.DataObject
) -> None:
    names = data.draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip), unique=True)
    )
    even = {name: {"even": n % 2 == 0} for n, name in enumerate(names)}
    index = filled(tmp_path_factory.mktemp("pages"), even)
    condition = data.draw(st.sampled_from([None, {"even": True}, {"even": {"$in": [True, *range(600)]}}]))
    seen: list[str] = []
    while page := ids(index.scan(after=seen[-1] if seen else None, limit=size, filter=condition)):
        assert len(page) <= size
        seen += page
    assert seen == sorted(name for name in names if condition is None or even[name]["even"])
    index.close()


def test_a_scan_keeps_the_state_that_it_began_with(tmp_path: Path) -> None:
    index = filled(tmp_path, {f"d{n:03}": {} for n in range(450)})
    scan = index.scan()
    first = next(scan)
    index.delete([f"d{n:03}" for n in range(1, 450)])
    assert [first.id, *ids(scan)] == [f"d{n:03}" for n in range(450)]
    assert ids(index.scan()) == ["d000"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0}, InputError),
        ({"limit": True}, InputError),
        ({"after": ""}, InputError),
        ({"after": object()}, InputError),
        ({"filter": "lang"}, FilterError),
        ({"filter": {"$bad": 1}}, FilterError),
    ],
)
def test_scan_checks_at_once(tmp_path: Path, arguments: dict[str, Any], error: type[Exception]) -> None:
    index = filled(tmp_path, {"a": {}})
    with pytest.raises(error):
        index.scan(**arguments)
    index.close()
    with pytest.raises(StorageError, match="closed"):
        index.scan()


def test_fields_are_those_that_filters_ask_for(tmp_path: Path) -> None:
    index = filled(
        tmp_path,
        {
            "1": {"lang": "de", "year": 1990, "tags": ["x", "x", "y"], "place": {"city": "Köln"}},
            "2": {"lang": "de", "year": 2001.5, "tags": [], "draft": True},
            "3": {"lang": "en", "year": None, "place": {"city": "Ｋo\u0308ln", "nr": 1}},
        },
    )
    fields = index.fields()
    assert list(fields) == ["lang", "year", "place", "place.city", "tags", "draft", "place.nr"]
    assert fields["lang"].values == (("de", 2), ("en", 1))
    assert (fields["lang"].types, fields["lang"].documents, fields["lang"].distinct) == (("string",), 3, 2)
    assert (fields["year"].minimum, fields["year"].maximum, fields["year"].types) == (1990, 2001.5, ("null", "number"))
    assert (fields["tags"].values, fields["tags"].documents, fields["tags"].types) == (
        (("x", 1), ("y", 1)),
        2,
        ("list", "string"),
    )
    assert (fields["place"].values, fields["place"].types) == ((), ("object",))
    assert fields["draft"].values == ((True, 1),)
    assert not any(one.estimated for one in fields.values())
    for name, one in fields.items():
        for value, count in one.values:
            assert len(index.search_vectors(np.ones((1, 2)), filter={name: value})) == count
    assert index.fields(limit=1)["lang"].values == (("de", 2),)
    assert index.fields(limit=1)["lang"].to_dict()["values"] == [{"value": "de", "documents": 2}]


def test_too_many_values_are_said_to_be_too_many(tmp_path: Path) -> None:
    index = filled(tmp_path, {str(n): {"n": n, "kind": n % 3, "long": "x" * 300} for n in range(1200)})
    fields = index.fields(limit=2)
    assert (fields["n"].distinct, fields["n"].values) == (None, ())
    assert (fields["n"].minimum, fields["n"].maximum, fields["n"].documents) == (0, 1199, 1200)
    assert (fields["kind"].distinct, fields["kind"].values) == (3, ((0, 400), (1, 400)))
    assert fields["long"].distinct is None


def test_a_large_index_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_SAMPLED", 50)
    index = filled(tmp_path, {f"d{n:03}": {"half": n < 150, "n": n} for n in range(300)})
    fields = index.fields()
    assert fields["half"].estimated
    assert fields["half"].documents == 300
    assert dict(fields["half"].values) == {True: pytest.approx(150, abs=12), False: pytest.approx(150, abs=12)}
    assert fields["n"].distinct == 50


@pytest.mark.parametrize("limit", [0, -1, True, "3"])
def test_a_wrong_limit_is_refused(tmp_path: Path, limit: Any) -> None:
    index = filled(tmp_path, {"a": {}})
    with pytest.raises(InputError, match="limit="):
        index.fields(limit=limit)


def test_an_empty_index_has_no_fields(tmp_path: Path) -> None:
    with Index.create(tmp_path / "e.polyvec", dim=2) as index:
        assert (index.fields(), list(index.scan())) == ({}, [])
