"""/v1/collections says what is served, and never where."""

from __future__ import annotations

from tests.serve.conftest import DOCUMENTS, Start
from tests.serve.running import Running


def test_collections_are_listed(start: Start) -> None:
    server = start("one.polyvec", "two.polyvec")
    found = server.client.get("/v1/collections").json()["collections"]
    assert [one["name"] for one in found] == ["one.polyvec", "two.polyvec"]
    assert all("path" not in one for one in found)
    assert str(server.serving.collections["one.polyvec"].path) not in server.client.get("/v1/collections").text


def test_one_is_described_with_its_fields(running: Running) -> None:
    found = running.client.get("/v1/collections/wiki.polyvec").json()
    assert (found["documents"], found["model"], found["codec"]) == (len(DOCUMENTS), "words", None)
    assert found["languages"] == {"ar": 1, "de": 1, "en": 4}
    languages = next(field for field in found["fields"] if field["name"] == "lang")
    assert languages["values"][0] == {"value": "en", "documents": 4}
    running.put([{"id": "new", "text": "x", "lang": "fr"}])
    again = running.client.get("/v1/collections/wiki").json()
    assert {"value": "fr", "documents": 1} in next(f for f in again["fields"] if f["name"] == "lang")["values"]


def test_unknown_names_are_none(running: Running) -> None:
    for name in ("nope", "..%2F..%2Fetc", "wiki.polyvec.polyvec"):
        answer = running.client.get(f"/v1/collections/{name}")
        assert answer.status_code == 404
        assert str(running.serving.collections.chosen(None).path) not in answer.text
