"""POST /v1/documents/scan and GET /v1/collections/NAME/fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serve.conftest import DOCUMENTS
from tests.serve.running import Running


def test_pages_meet_every_document_once(shared: Running) -> None:
    ids: list[str] = []
    while True:
        body: dict[str, Any] = {"limit": 2, **({"after": ids[-1]} if ids else {})}
        page = shared.post("/v1/documents/scan", body).json()["documents"]
        ids += [one["id"] for one in page]
        if len(page) < 2:
            break
    assert ids == sorted(document["id"] for document in DOCUMENTS)
    found = shared.post("/v1/documents/scan", {"filter": {"lang": "ar"}}).json()["documents"]
    assert found == [{"id": "arabic", "text": "النحل يرقص ليدل على الزهور", "metadata": {"lang": "ar"}}]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"limit": 0}, "invalid"),
        ({"limit": 1001}, "invalid"),
        ({"after": ""}, "invalid"),
        ({"filter": {"$foo": 1}}, "invalid-filter"),
        ({"filter": "lang"}, "invalid-filter"),
        ({"page": 2}, "invalid"),
    ],
)
def test_what_makes_no_sense(shared: Running, body: dict[str, Any], kind: str) -> None:
    answer = shared.post("/v1/documents/scan", body)
    assert answer.status_code == 422
    assert answer.json()["type"] == f"/docs#{kind}"


def test_fields_are_those_of_the_index(shared: Running) -> None:
    (collection,) = shared.serving.collections.values()
    answer = shared.client.get(f"/v1/collections/{collection.name}/fields", params={"limit": 1})
    expected = [one.to_dict() for one in collection.index.fields(limit=1).values()]
    assert answer.json() == {"fields": expected}
    assert {"name": "lang", "documents": 6}.items() <= expected[0].items()
    for limit in ("0", "-1", "many", "1001", ""):
        answer = shared.client.get(f"/v1/collections/{collection.name}/fields", params={"limit": limit})
        assert answer.status_code == 422
    assert shared.client.get("/v1/collections/none/fields").status_code == 404
