"""/v1/documents: what is stored is read, written and deleted; all of a request or nothing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvec
from polyvec.index.catalog.catalog import Catalog
from tests.conftest import WordEncoder
from tests.serve.conftest import DOCUMENTS, Start
from tests.serve.running import Running

NDJSON = {"content-type": "application/x-ndjson"}


def lines(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def test_put_adds_and_replaces(running: Running) -> None:
    answer = running.put([{"id": "new", "text": "zebra"}, {"id": "bread", "text": "Bread rises.", "lang": "en"}])
    report = answer.json()
    assert (answer.status_code, report["added"], report["replaced"], report["skipped"]) == (200, 1, 1, 0)
    assert report["took_ms"] >= 0
    assert running.search("zebra", k=1)[0]["hits"][0]["id"] == "new"
    assert running.client.get("/v1/documents/bread").json() == {
        "id": "bread", "text": "Bread rises.", "metadata": {"lang": "en"},
    }  # fmt: skip


@pytest.mark.parametrize("given", ["]", 3, False, [1]])
def test_metadata_that_is_no_object_is_a_field_of_this_name(running: Running, given: Any) -> None:
    assert running.put([{"id": "new", "text": "zebra", "metadata": given}]).status_code == 200
    assert running.client.get("/v1/documents/new").json()["metadata"] == {"metadata": given}


def test_what_happens_to_known_ids_can_be_chosen(running: Running) -> None:
    assert running.put([{"id": "bread", "text": "b"}], existing="skip").json()["skipped"] == 1
    refused = running.put([{"id": "new", "text": "a"}, {"id": "bread", "text": "b"}], existing="error")
    assert (refused.status_code, "'bread'" in refused.json()["detail"]) == (422, True)
    assert running.client.get("/v1/documents/new").status_code == 404
    wrong = running.put([], existing="keep")
    assert (wrong.status_code, wrong.json()["detail"]) == (
        422, "existing='keep': expected one of error, replace, skip.",
    )  # fmt: skip


def test_a_stream_of_lines(running: Running) -> None:
    documents = [{"id": f"n{n}", "text": f"number {n}", "n": n} for n in range(500)]

    def parts() -> Any:
        body = b"\n" + lines(documents) + b"\n"
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    answer = running.client.put("/v1/documents", content=parts(), headers=NDJSON)
    assert answer.json()["added"] == 500
    assert running.search("number", k=1, filter={"n": 499})[0]["hits"][0]["id"] == "n499"


@pytest.mark.parametrize(
    ("second", "status", "words"),
    [
        (b'{"id": "b"', 400, "line 2 is not JSON"),
        (b"\xff\xfe", 400, "line 2 is not UTF-8"),
        (b'{"id": "b", "text": "x", "n": NaN}', 400, "finite"),
        (b'{"id": "b", "text": ""}', 422, "line 2"),
        (b'{"text": "no id"}', 422, "line 2"),
        (b"[1]", 422, "line 2"),
        (b'{"id": "b", "text": "' + b"x" * 3000 + b'"}', 413, "line 2"),
    ],
    ids=["cut", "not-utf8", "nan", "empty", "no-id", "no-object", "long"],
)
def test_one_bad_line_and_nothing_is_stored(start: Start, second: bytes, status: int, words: str) -> None:
    server = start(max_body=2000)
    body = b'{"id": "a", "text": "first"}\n' + second + b'\n{"id": "c", "text": "third"}\n'
    answer = server.client.put("/v1/documents", content=body, headers=NDJSON)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert server.client.get("/v1/documents/a").status_code == 404
    assert server.put([{"id": "a", "text": "first"}]).status_code == 200, "and the next write goes on"


def test_a_list_with_a_bad_document_stores_nothing(running: Running) -> None:
    answer = running.put([{"id": "a", "text": "x"}, {"id": "b", "text": 5}])
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "document 1: text of type int in document 'b', expected a string in `text`.",
    )  # fmt: skip
    assert running.client.get("/v1/documents/a").status_code == 404
    assert running.put("text").json()["detail"].startswith("documents: got one str, expected a list of documents.")


def test_limits(start: Start) -> None:
    server = start(max_body=500, max_upload=1000, max_text=50)
    assert server.put([{"id": "a", "text": "x" * 600}]).status_code == 413
    assert server.client.put("/v1/documents", content=b"x" * 1001, headers=NDJSON).status_code == 413
    long = server.put([{"id": "a", "text": "x" * 51}])
    assert (long.status_code, long.json()["detail"]) == (
        422, "document 0: the text of document 'a' has 51 characters, and at most 50 are taken. Cut or split it.",
    )  # fmt: skip
    for path, body in (
        ("/v1/search", {"query": "x" * 51}),
        ("/v1/rerank", {"query": "x" * 51, "documents": ["a"]}),
        ("/v1/rerank", {"query": "a", "documents": ["x" * 51]}),
        ("/v1/multi-vector", {"input": ["x" * 51]}),
    ):
        answer = server.post(path, body)
        assert (answer.status_code, "at most 50 are taken" in answer.json()["detail"]) == (422, True), path


def test_delete_by_ids_and_by_filter(running: Running) -> None:
    assert running.delete({"ids": ["bread", "unknown"]}).json()["deleted"] == 1
    assert running.client.get("/v1/documents/bread").status_code == 404
    assert running.delete({"filter": {"lang": "de"}}).json()["deleted"] == 1
    assert not running.search("Bienen", filter={"lang": "de"})[0]["hits"]
    assert running.delete({"filter": {"lang": "de"}}).json()["deleted"] == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": ["a"], "filter": {"a": 1}}, {"ids": "a"}, {"filter": {}}, {"filter": {"$x": 1}}, {"ids": [None]}],
)
def test_what_cannot_be_deleted(running: Running, body: Any) -> None:
    assert running.delete(body).status_code == 422
    assert len(running.serving.collections.chosen(None).index) == len(DOCUMENTS)


def test_any_id_can_be_read(running: Running) -> None:
    strange = ["a/b c", "../../etc/passwd", "%2e%2e", "?x=1#y", "get", "Ünïcødé", "a//b", ".", "1" * 1000]
    running.put([{"id": one, "text": f"text {n}"} for n, one in enumerate(strange)])
    for n, one in enumerate(strange):
        answer = running.raw(f"GET /v1/documents/{quote(one, safe='')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (b"200 OK" in head, json.loads(body)["text"]) == (True, f"text {n}"), (one, answer)


def test_several_are_read_in_the_order_asked_for(running: Running) -> None:
    found = running.post("/v1/documents/get", {"ids": ["bread", "unknown", "arabic"]}).json()["documents"]
    assert [one and one["id"] for one in found] == ["bread", None, "arabic"]
    assert found[2]["text"] == DOCUMENTS[4]["text"]
    assert running.post("/v1/documents/get", {"ids": "bread"}).status_code == 422
    assert running.post("/v1/documents/get", {"ids": ["a"] * 10_001}).status_code == 422


def test_read_only_refuses_every_write(start: Start) -> None:
    server = start(read_only=True)
    for answer in (server.put([{"id": "a", "text": "x"}]), server.delete({"ids": ["bread"]})):
        assert (answer.status_code, answer.json()["type"]) == (403, "/docs#read-only")
    assert server.search("bread")[0]["hits"]


def test_a_pulled_collection_is_only_read(start: Start, tmp_path: Path) -> None:
    polyvec.Index.create(tmp_path / "wiki.polyvec", encoder=WordEncoder()).close()
    with contextlib.closing(Catalog.open(tmp_path / "wiki.polyvec", write=True)) as catalog, catalog.transaction():
        catalog.set_pulled({"url": "s3://secret/wiki", "version": 3, "publication": "p"})
    server = start()
    for answer in (server.put([{"id": "a", "text": "x"}]), server.delete({"ids": ["bread"]})):
        assert (answer.status_code, answer.json()["type"]) == (403, "/docs#pulled")
        assert "was pulled from where it is published, and is only read" in answer.json()["detail"]
        assert "secret" not in answer.text
    assert server.search("bread")[0]["hits"] == []


def test_a_writer_elsewhere_is_named(running: Running) -> None:
    collection = running.serving.collections.chosen(None)
    with polyvec.Index.open(str(collection.path), encoder=WordEncoder()) as other:
        other.add([{"id": "theirs", "text": "zebra"}])
        answer = running.put([{"id": "ours", "text": "x"}])
        assert (answer.status_code, answer.json()["type"]) == (409, "/docs#locked")
        assert "wiki.polyvec is being written by process" in answer.json()["detail"]
        assert str(collection.path) not in answer.text, "no client is told where the collection lies"
    assert running.put([{"id": "ours", "text": "x"}]).status_code == 200, "when they are done, writing goes on"


def test_what_others_commit_is_seen_with_follow(start: Start) -> None:
    server = start(follow=True)
    with polyvec.Index.open(str(server.serving.collections.chosen(None).path), encoder=WordEncoder()) as other:
        other.add([{"id": "theirs", "text": "zebra"}])
    assert server.search("zebra", k=1)[0]["hits"][0]["id"] == "theirs"


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "delete"]), st.integers(0, 4), st.sampled_from(["ant", "bee", "cat"])),
        max_size=12,
    )
)
def test_clients_read_their_own_writes(shared: Running, steps: list[tuple[str, int, str]]) -> None:
    known: dict[str, str] = {}
    for what, number, text in steps:
        name = f"own-{number}"
        if what == "put":
            assert shared.put([{"id": name, "text": text, "own": True}]).status_code == 200
            known[name] = text
        else:
            assert shared.delete({"ids": [name]}).json()["deleted"] == (name in known)
            known.pop(name, None)
        (found,) = shared.search("ant bee cat", k=10, filter={"own": True})
        assert {hit["id"]: hit["text"] for hit in found["hits"]} == known
    shared.delete({"ids": list(known)})
