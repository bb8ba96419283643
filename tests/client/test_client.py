"""One contract, over an index that is open here and over a client of a server: the same results, scores, reports and errors."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

import polyvec
from polyvec import Client, Document, Hit, Index, SearchOptions
from polyvec.collection.searcher import Searcher
from polyvec.errors import (
    FilterError,
    IndexLockedError,
    IndexMissingError,
    InputError,
    PolyvecError,
    ServerError,
    StorageError,
)
from polyvec.search.explain import Explanation
from tests.conftest import WordEncoder
from tests.forking import in_child
from tests.serve.in_thread import served

DOCUMENTS = [
    {"id": "bees", "text": "Bees dance to tell where flowers are", "title": "Bees", "lang": "en", "year": 2001},
    {"id": "abejas", "text": "Las abejas bailan donde hay flowers", "lang": "es", "year": 1999},
    {"id": "moon", "text": "The moon is far away from flowers", "lang": "en", "tags": ["sky", "night"]},
    {"id": "ünïcode/ids ?#%", "text": "An id may hold anything, even flowers 🌼", "lang": "en"},
    {"id": "7", "text": "Seven bees", "metadata": {"id": "other", "nested": {"deep": [1, 2.5, None, True]}}},
]

Open = Callable[..., Any]


@pytest.fixture(params=["index", "client"])
def searcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty collection, held either way."""
    path = tmp_path / "nature.polyvec"
    Index.create(path, encoder=WordEncoder()).close()
    if request.param == "index":
        with Index.open(path, encoder=WordEncoder()) as index:
            yield index
    else:
        with served([path], encoder=WordEncoder()) as url, Client(url) as client:
            yield client


@pytest.fixture
def filled(searcher: Any) -> Any:
    searcher.add(DOCUMENTS)
    return searcher


@contextmanager
def _held_both_ways(folder: Path) -> Iterator[tuple[Index, Client]]:
    with Index.create(folder / "here.polyvec", encoder=WordEncoder()) as index:
        index.add(DOCUMENTS)
        index.copy(folder / "there.polyvec")
        with served([folder / "there.polyvec"], encoder=WordEncoder()) as url, Client(url) as client:
            yield index, client


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Index, Client]]:
    """The same documents, held both ways."""
    with _held_both_ways(tmp_path) as held:
        yield held


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, Client]]:
    """The same, made once for tests that change nothing."""
    with _held_both_ways(tmp_path_factory.mktemp("unchanged")) as held:
        yield held


# -- the contract ------------------------------------------------------------------------------------------------------


def test_adding_is_reported_and_durable(searcher: Any) -> None:
    report = searcher.add(DOCUMENTS)
    assert (report.added, report.replaced, report.skipped, report.truncated) == (5, 0, 0, 0)
    assert report.tokens == 30
    assert len(searcher) == 5
    assert searcher.get(["moon"])[0] == Document(
        "moon", "The moon is far away from flowers", {"lang": "en", "tags": ["sky", "night"]}
    )


def test_get_keeps_the_order_and_says_what_is_missing(filled: Any) -> None:
    found = filled.get(["7", "none", "ünïcode/ids ?#%", "7"])
    assert [None if one is None else one.id for one in found] == ["7", None, "ünïcode/ids ?#%", "7"]
    assert found[0].metadata == {"id": "other", "nested": {"deep": [1, 2.5, None, True]}}
    assert filled.get([]) == []
    assert "moon" in filled
    assert "sun" not in filled


def test_search_with_one_question_and_with_several(filled: Any) -> None:
    hits = filled.search("bees flowers", k=2)
    assert [hit.id for hit in hits] == ["bees", "ünïcode/ids ?#%"]
    assert all(isinstance(hit, Hit) for hit in hits)
    assert [hit.rank for hit in hits] == [1, 2]
    assert hits[0].score == pytest.approx(2.0, abs=1e-3)
    assert hits[0].title == "Bees"
    lists = filled.search(["bees", "moon"], k=1)
    assert [[hit.id for hit in hits] for hits in lists] == [["bees"], ["moon"]]
    assert filled.search([]) == []


def test_every_keyword_and_options(filled: Any) -> None:
    def ids(**keywords: Any) -> set[str]:
        return {hit.id for hit in filled.search("flowers", **keywords)}

    everything = {"bees", "abejas", "moon", "ünïcode/ids ?#%", "7"}
    assert ids() == everything
    assert ids(filter={"lang": "es"}) == {"abejas"}
    assert ids(filter={"year": {"$gte": 2000}}, k=5) == {"bees"}
    assert ids(filter={}) == everything
    assert ids(subset=["moon", "none"]) == {"moon"}
    assert ids(subset=[]) == set()
    assert ids(min_score=0.9) == {"bees", "abejas", "moon", "ünïcode/ids ?#%"}
    assert ids(mode="keyword") == {"bees", "abejas", "moon", "ünïcode/ids ?#%"}
    assert len(ids(mode="hybrid", fusion="rank", weight=0.5, k=3)) == 3
    assert ids(exact=True, nprobe=3, candidates=50, threads=1) == everything
    assert ids(recall=0.99, k=2) <= everything
    assert ids(options=SearchOptions(k=1, filter={"lang": "es"})) == {"abejas"}
    assert ids(options=SearchOptions(k=1, filter={"lang": "es"}), filter={"lang": "en"}, k=3) >= {"bees", "moon"}


def test_hits_explain_themselves_and_are_plain_data(filled: Any) -> None:
    (hit,) = filled.search("dance of bees", k=1)
    explanation = hit.explain()
    assert isinstance(explanation, Explanation)
    assert explanation.score == pytest.approx(hit.score, abs=1e-4)
    assert ("dance", "dance") in [(match.query_token, match.document_token) for match in explanation.matches]
    assert explanation.highlights()
    copied = pickle.loads(pickle.dumps(hit))
    assert copied == hit
    assert filled.explain("dance of bees", copied) == explanation


def test_what_cannot_be_explained(filled: Any) -> None:
    (hit,) = filled.search("moon", k=1)
    filled.delete(["moon"])
    with pytest.raises(InputError, match="holds no such document any more"):
        hit.explain()
    filled.add([{"id": "moon", "text": "Another moon"}])
    with pytest.raises(InputError, match="has another text by now"):
        filled.explain("moon", hit)
    with pytest.raises(InputError, match="has no stored text"):
        filled.explain("moon", Hit("moon", 1.0, 1))
    with pytest.raises(InputError, match="expected the query's text and a Hit"):
        filled.explain("moon", "moon")
    (hit,) = filled.search("moon", k=1)
    filled.close()
    with pytest.raises(InputError, match="the index that found it is closed"):
        hit.explain()


def test_update_replaces_and_existing_says_what_happens(filled: Any) -> None:
    report = filled.update([{"id": "moon", "text": "A new moon"}, {"id": "sun", "text": "The sun"}])
    assert (report.added, report.replaced) == (1, 1)
    assert filled.get(["moon"])[0] == Document("moon", "A new moon", {})
    report = filled.add([{"id": "moon", "text": "Not this"}, {"id": "star", "text": "A star"}], existing="skip")
    assert (report.added, report.skipped) == (1, 1)
    with pytest.raises(InputError, match="'moon'"):
        filled.add([{"id": "comet", "text": "A comet"}, {"id": "moon", "text": "Not this"}])
    assert "comet" not in filled


def test_delete_by_ids_and_by_filter(filled: Any) -> None:
    assert filled.delete(["moon", "none"]) == 1
    assert filled.delete(filter={"lang": "en"}) == 2
    assert {document.id for document in filled.scan()} == {"7", "abejas"}
    assert filled.delete([]) == 0


def test_metadata_changes_alone(filled: Any) -> None:
    assert filled.update_metadata({"moon": {"lang": "de", "tags": None, "year": 1969}, "bees": {"lang": "en"}}) == 1
    assert filled.get(["moon"])[0].metadata == {"lang": "de", "year": 1969}
    assert filled.update_metadata({"bees": {"title": "Dancing"}}) == 1
    assert filled.search("dancing", k=1)[0].id == "bees"
    with pytest.raises(InputError, match="'none' is not in the index"):
        filled.update_metadata({"none": {"year": 1}})


def test_scan_walks_in_pages(searcher: Any) -> None:
    searcher.add([{"id": f"d{number:04}", "text": "word", "even": number % 2 == 0} for number in range(1203)])
    ids = [document.id for document in searcher.scan()]
    assert ids == [f"d{number:04}" for number in range(1203)]
    assert [d.id for d in searcher.scan(after="d1200")] == ["d1201", "d1202"]
    assert len(list(searcher.scan(limit=1001))) == 1001
    assert len(list(searcher.scan(filter={"even": True}, limit=3, after="d0001"))) == 3
    assert list(searcher.scan(after="d1202")) == []


def test_fields_and_info(filled: Any) -> None:
    fields = filled.fields(limit=1)
    assert fields["lang"].documents == 4
    assert fields["lang"].values == (("en", 3),)
    assert fields["year"].minimum == 1999
    facts = filled.info()
    assert facts["documents"] == 5
    assert facts["languages"] == {"en": 3, "es": 1}
    assert facts["model"] == "words"
    assert filled.dim == 16
    assert filled.name.startswith("nature")


def test_vectors_of_ones_own(searcher: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((4, 16)) for _ in range(5)]
    report = searcher.add_vectors([str(i) for i in range(5)], arrays, metadata=[{"n": i} for i in range(5)])
    assert report.added == 5
    assert searcher.search_vectors(arrays[3], k=1)[0].id == "3"
    assert searcher.search_vectors(arrays[3], k=1)[0].metadata == {"n": 3}
    assert [hits[0].id for hits in searcher.search_vectors(arrays[:2], k=1)] == ["0", "1"]
    assert searcher.search_vectors(arrays[3], filter={"n": {"$lt": 2}}, k=1)[0].id in ("0", "1")
    with pytest.raises(InputError, match=r"query 0: shape \(4, 3\), expected \(tokens, 16\)"):
        searcher.search_vectors(np.ones((4, 3)))
    with pytest.raises(InputError, match="ended after 1 entries"):
        searcher.add_vectors(["a", "b"], arrays[:1])


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda one: one.search(""), InputError),
        (lambda one: one.search(" \n"), InputError),
        (lambda one: one.search(3), InputError),
        (lambda one: one.search(["a", ""]), InputError),
        (lambda one: one.search("a\ud800"), InputError),
        (lambda one: one.search("a", k=0), InputError),
        (lambda one: one.search("a", k=1.5), InputError),
        (lambda one: one.search("a", mode="dense"), InputError),
        (lambda one: one.search("a", mode="keyword", min_score=0.5), InputError),
        (lambda one: one.search("a", min_score=2), InputError),
        (lambda one: one.search("a", recall=1), InputError),
        (lambda one: one.search("a", subset="abc"), InputError),
        (lambda one: one.search("a", threads=0), InputError),
        (lambda one: one.search("a", options={"k": 3}), InputError),
        (lambda one: one.search("a", filter="lang"), FilterError),
        (lambda one: one.search("a", filter={"$foo": 1}), FilterError),
        (lambda one: one.search("a", filter={"year": {"$gt": {}}}), FilterError),
        (lambda one: one.search("a", filter={"$and": []}), FilterError),
        (lambda one: one.search("a", filter={"a": 1j}), FilterError),
        (lambda one: one.get("moon"), InputError),
        (lambda one: one.get([""]), InputError),
        (lambda one: None in one, InputError),
        (lambda one: one.add({"id": "1", "text": "a"}), InputError),
        (lambda one: one.add([{"id": "1"}]), InputError),
        (lambda one: one.add([{"id": "1", "text": " "}]), InputError),
        (lambda one: one.add([{"text": "a"}]), InputError),
        (lambda one: one.add([{"id": "1", "text": "a", "x": float("nan")}]), InputError),
        (lambda one: one.add([{"id": "1", "text": "a"}, {"id": "1", "text": "b"}]), InputError),
        (lambda one: one.add(DOCUMENTS[:1]), InputError),
        (lambda one: one.add([], existing="maybe"), InputError),
        (lambda one: one.add([], progress=3), InputError),
        (lambda one: one.delete("moon"), InputError),
        (lambda one: one.delete(), InputError),
        (lambda one: one.delete(["a"], filter={"a": 1}), InputError),
        (lambda one: one.delete(filter={}), InputError),
        (lambda one: one.delete(filter={"$foo": 1}), FilterError),
        (lambda one: one.update_metadata([]), InputError),
        (lambda one: one.update_metadata({"moon": None}), InputError),
        (lambda one: one.update_metadata({"moon": {"text": "x"}}), InputError),
        (lambda one: one.update_metadata({"none": {"a": 1}}), InputError),
        (lambda one: list(one.scan(limit=0)), InputError),
        (lambda one: list(one.scan(after="")), InputError),
        (lambda one: list(one.scan(filter={"$foo": 1})), FilterError),
        (lambda one: one.fields(limit=0), InputError),
        (lambda one: one.explain("a", "b"), InputError),
        (lambda one: one.search_vectors("abc"), InputError),
        (lambda one: one.search_vectors(np.zeros((2, 16))), InputError),
        (lambda one: one.search_vectors(np.full((2, 16), np.nan)), InputError),
        (lambda one: one.add_vectors("ab", [np.ones((1, 16))]), InputError),
        (lambda one: one.add_vectors(["a"], [np.ones((1, 3))]), InputError),
    ],
)  # fmt: skip
def test_errors_are_the_same(
    unchanged: tuple[Index, Client], call: Callable[[Any], Any], kind: type[PolyvecError]
) -> None:
    raised = []
    for one in unchanged:
        with pytest.raises(PolyvecError) as caught:
            call(one)
        raised.append(caught.value)
    assert type(raised[0]) is type(raised[1]) is kind
    assert str(raised[0]) == str(raised[1])
    assert [len(one) for one in unchanged] == [len(DOCUMENTS)] * 2


def test_an_unknown_keyword_is_a_type_error(searcher: Any) -> None:
    with pytest.raises(TypeError, match=r"search\(\) got an unexpected keyword argument 'limit'"):
        searcher.search("a", limit=3)


def test_hits_are_equal_to_the_last_bit(both: tuple[Index, Client]) -> None:
    index, client = both
    vectors = np.random.default_rng(1).standard_normal((3, 16))
    for found in (
        lambda one: one.search("bees and flowers"),
        lambda one: one.search(["bees", "moon far"], k=3),
        lambda one: one.search("bees flowers", mode="hybrid"),
        lambda one: one.search("bees flowers", mode="keyword"),
        lambda one: one.search_vectors(vectors),
        lambda one: [hit.explain() for hit in one.search("bees dance")],
        lambda one: list(one.scan()),
        lambda one: one.fields(),
    ):
        assert found(index) == found(client)
    here, there = index.info(), client.info()
    own = {"path", "name", "catalog_bytes", "size_bytes", "bytes_per_token"}
    assert {key: here[key] for key in here.keys() - own} == {key: there[key] for key in there.keys() - own}


def test_rerank_is_that_of_the_package(both: tuple[Index, Client]) -> None:
    texts = ["bread and butter", "bees dance", "the moon"]
    here = polyvec.rerank("bees dance", texts, encoder=WordEncoder(), k=2)
    assert both[1].rerank("bees dance", texts, k=2) == here
    documents = [{"id": "x", "text": "bees", "title": "dance"}, Document("y", "moon", {"a": 1})]
    assert both[1].rerank("bees dance", documents) == polyvec.rerank("bees dance", documents, encoder=WordEncoder())
    assert both[1].rerank("bees", []) == []
    with pytest.raises(InputError, match="comes twice"):
        both[1].rerank("bees", [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}])


def test_a_client_has_every_call_of_the_protocol() -> None:
    wanted = {name for name in vars(Searcher) if not name.startswith("_")} | {"__len__", "__contains__"}
    assert wanted - set(dir(Client)) == set()


# -- what only a client has --------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Iterator[str]:
    for name in ("one", "other"):
        with Index.create(tmp_path / f"{name}.polyvec", encoder=WordEncoder()) as index:
            index.add([{"id": name, "text": "alpha"}])
    with served([tmp_path / "one.polyvec", tmp_path / "other.polyvec"], encoder=WordEncoder()) as url:
        yield url


def test_a_collection_is_chosen_by_name(two: str) -> None:
    with Client(two, collection="other") as client:
        assert client.search("alpha")[0].id == "other"
        assert client.name.removesuffix(".polyvec") == "other"
        assert client.info()["documents"] == 1
        client.add([{"id": "more", "text": "beta"}])
        assert len(client) == 2
        assert client.update_metadata({"more": {"a": 1}}) == 1
        assert client.delete(["more"]) == 1
        assert [document.id for document in client.scan()] == ["other"]
    with Client(two) as client:
        for call in (
            lambda: client.search("alpha"),
            lambda: client.name,
            lambda: client.add([{"id": "1", "text": "a"}]),
        ):
            with pytest.raises(InputError, match=r"expected one of one[.polyvec]*, other"):
                call()
    with (
        Client(two, collection="none") as client,
        pytest.raises(IndexMissingError, match=r"expected one of one[.polyvec]*, other"),
    ):
        client.search("alpha")


def test_a_closed_client_says_so(two: str) -> None:
    client = Client(two, collection="one")
    assert client.search("alpha")
    client.refresh()
    client.close()
    client.close()
    for call in (
        lambda: client.search("a"),
        client.info,
        client.refresh,
        client.scan,
        lambda: client.get(["a"]),
    ):
        with pytest.raises(StorageError, match="the client is closed"):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks with threads, as servers of others do
def test_a_forked_child_has_connections_of_its_own(two: str) -> None:
    with Client(two, collection="one") as client:
        expected = client.search("alpha")
        assert in_child(lambda: [hit.id for hit in client.search("alpha")]) == ["one"]
        assert client.search("alpha") == expected


def test_a_client_is_neither_copied_nor_pickled(two: str) -> None:
    client = Client(two, token="a-secret-of-some-length", collection="one")
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(InputError, match="cannot be pickled or copied"):
            copied(client)
    assert "secret" not in repr(client)
    client.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "127.0.0.1:8000"}, "expected the address of a server"),
        ({"url": "ftp://host"}, "expected the address of a server"),
        ({"url": ""}, "expected the address of a server"),
        ({"url": None}, "expected the address of a server"),
        ({"url": "http://"}, "expected the address of a server"),
        ({"url": "http://host/?a=1"}, "expected the address of a server"),
        ({"url": "http://me:secret@host"}, "it holds a user name or a password"),
        ({"token": "two words"}, "printable ASCII"),
        ({"token": ""}, "printable ASCII"),
        ({"token": 3}, "printable ASCII"),
        ({"collection": ""}, "expected the name of a collection"),
        ({"timeout": 0}, "timeout=0: expected seconds, above 0"),
        ({"write_timeout": "1"}, "write_timeout='1': expected seconds"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        Client(**{"url": "http://127.0.0.1:1", **arguments})
    assert "secret" not in str(raised.value)


def test_tokens_decide_who_may_write(tmp_path: Path) -> None:
    path = tmp_path / "guarded.polyvec"
    Index.create(path, encoder=WordEncoder()).close()
    tokens = ("read:reader-secret-0001", "write:writer-secret-0001")
    with served([path], encoder=WordEncoder(), tokens=tokens) as url:
        with Client(url) as client, pytest.raises(ServerError, match="The token is missing") as raised:
            client.search("a")
        assert raised.value.status == 401
        assert raised.value.request_id
        with Client(url, token="writer-secret-0001") as client:
            assert client.add([{"id": "1", "text": "alpha"}]).added == 1
        with Client(url, token="reader-secret-0001") as client:
            assert client.search("alpha")[0].id == "1"
            for call in (
                lambda: client.add([{"id": "2", "text": "beta"}]),
                lambda: client.delete(["1"]),
                lambda: client.delete(filter={"a": 1}),
                lambda: client.update_metadata({"1": {"a": 1}}),
                lambda: client.add_vectors(["3"], [np.ones((1, 16))]),
            ):
                with pytest.raises(ServerError, match="read only") as raised:
                    call()
                assert raised.value.status == 403
            assert len(client) == 1


def test_an_index_that_another_process_writes_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "locked.polyvec"
    with Index.create(path, encoder=WordEncoder()) as index:
        index.add([{"id": "1", "text": "alpha"}])  # holds the lock from here on
        with (
            served([path], encoder=WordEncoder()) as url,
            Client(url) as client,
            pytest.raises(IndexLockedError),
        ):
            client.add([{"id": "2", "text": "beta"}])


def test_progress_counts_what_was_sent(searcher: Any) -> None:
    counts: list[int] = []
    documents = [{"id": str(number), "text": f"word {number}" * 200} for number in range(300)]
    assert searcher.add(iter(documents), progress=counts.append).added == 300
    assert sum(counts) == 300
