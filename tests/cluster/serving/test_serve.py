"""A collection on Ray Serve: the same answers, while replicas and nodes die, and while new versions come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from polyvec import Encoder, Shards
from tests.cluster.in_process import publish_shards
from tests.cluster.load import Hits, Load
from tests.cluster.served import QUESTIONS, Served, documents, expected, served, until

pytest.importorskip("ray", reason="Ray is not installed: pip install 'polyvec[ray]'")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


class Site(NamedTuple):
    """A collection that is served, where it is published from, and what it has to answer in each version."""

    served: Served
    shards: Shards
    url: Path
    expected: list[dict[str, Hits]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    encoder = Encoder(dim=32)
    with Shards.create(folder / "shards", shards=2, encoder=encoder) as shards:
        shards.add(documents(200))
        publish_shards(folder / "shards", folder / "published")
        answers = [expected(folder / "shards", encoder)]
        settings: dict[str, Any] = {
            "cpus": 0.1, "every": 0.5, "try_timeout": 2.0, "shard_timeout": 6.0, "copies": str(folder / "copies"),
        }  # fmt: skip
        with served(folder / "published", nodes=3, port=8731, front=1, replicas=2, **settings) as running:
            yield Site(running, shards, folder / "published", answers)


def test_answers_are_those_of_shards_in_one_process(site: Site) -> None:
    for name, body in QUESTIONS.items():
        answer = site.served.ask(**body).json()
        assert answer["partial"] is False
        assert tuple((hit["id"], hit["score"]) for hit in answer["results"][0]["hits"]) == site.expected[-1][name]
    with httpx.Client(base_url=site.served.url, trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        assert "<html" in client.get("/").text
        described = client.get("/v1/collections/published").json()
        assert (described["documents"], described["shards"], described["published_version"]) == (200, 2, 1)
        assert client.post("/v1/documents/get", json={"ids": ["d7", "none"]}).json()["documents"][0]["id"] == "d7"
        refused = client.put("/v1/documents", json=[{"id": "new", "text": "text"}])
        assert (refused.status_code, refused.json()["type"]) == (403, "/docs#read-only")
        assert client.post("/v1/search", json={"query": "tea", "filter": {"n": {"$no": 1}}}).status_code == 422


def test_a_replica_is_killed(site: Site) -> None:
    with Load(site.served.url, QUESTIONS, site.expected) as tally:
        time.sleep(1)
        assert site.served.kill_replicas("shard-000") == 1
        time.sleep(2)
        until(lambda: len(site.served.replicas("shard-000")) == 2)
        time.sleep(2)
    assert (tally.wrong, tally.failed, tally.partial) == (0, 0, 0), tally.summary()
    assert tally.right > 20


def test_a_new_version_takes_over(site: Site) -> None:
    site.shards.update(documents(60, seed=2))
    site.shards.delete([f"d{n}" for n in range(150, 170)])
    site.expected.append(expected(site.shards.path, site.shards.encoder))
    assert site.expected[-1] != site.expected[-2]
    with Load(site.served.url, QUESTIONS, site.expected) as tally:
        time.sleep(1)
        publish_shards(site.shards.path, site.url)
        until(lambda: tally.by_version[len(site.expected) - 1] > 10)
        time.sleep(1)
    assert (tally.wrong, tally.failed, tally.partial) == (0, 0, 0), tally.summary()
    del site.expected[:-1]
    with Load(site.served.url, QUESTIONS, site.expected) as tally:
        time.sleep(1)
    assert tally.right == tally.asked, "the version before is asked no more"


def test_all_replicas_of_a_shard_are_gone_and_come_back(site: Site) -> None:
    end = time.monotonic() + 60
    seen: dict[str, Any] = {}
    while time.monotonic() < end and seen.keys() != {"partial", "error"}:
        site.served.kill_replicas("shard-001", most=9)
        answer = site.served.ask(query="green tea", k=20).json()
        if answer["partial"]:
            assert answer["missing_shards"] == ["shard-001"]
            assert 0 < len(answer["results"][0]["hits"]) <= 20
            seen["partial"] = answer
        site.served.kill_replicas("shard-001", most=9)
        refused = site.served.ask(query="green tea", options={"on_missing": "error"})
        if refused.status_code != 200:
            assert (refused.status_code, refused.json()["type"]) == (503, "/docs#shards-missing")
            assert "shard-001" in refused.json()["detail"]
            seen["error"] = refused
    assert seen.keys() == {"partial", "error"}
    until(lambda: not site.served.ask(query="green tea").json()["partial"])
    until(lambda: len(site.served.replicas("shard-001")) == 2)
    with Load(site.served.url, QUESTIONS, site.expected) as tally:
        time.sleep(2)
    assert tally.right == tally.asked, tally.summary()


def test_a_node_is_killed(site: Site) -> None:
    with Load(site.served.url, QUESTIONS, site.expected) as tally:
        time.sleep(1)
        site.served.kill_node()
        time.sleep(15)
    assert (tally.wrong, tally.failed, tally.partial) == (0, 0, 0), tally.summary()
    assert tally.right > 50
