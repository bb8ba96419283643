"""What a search sees while replicas come and go, and while versions change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvec import SearchOptions, Shards
from polyvec.cluster.serving.session import ClusterSession
from polyvec.errors import (
    IndexCorruptError,
    InputError,
    ModelMismatchError,
    ServerError,
    ShardsMissingError,
    StorageError,
)
from polyvec.search.missing import noting_missing
from tests.cluster.in_process import QUICK, InProcess, in_process, publish_shards
from tests.conftest import WordEncoder
from tests.shards.corpus import QUESTIONS, document, documents
from tests.shards.same import MODES

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")


class Published(Shards):
    """Shards, and where they are published."""

    url: Path


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[Published]:
    with Published.create(tmp_path / "shards", shards=2, encoder=WordEncoder()) as made:
        assert isinstance(made, Published)
        made.add(documents(60))
        made.url = tmp_path / "published"
        publish_shards(made.path, made.url)
        yield made


@pytest.fixture
def cluster(shards: Published, tmp_path: Path) -> Iterator[InProcess]:
    with in_process(shards.url, tmp_path / "copies", replicas=2, encoder=WordEncoder()) as running:
        yield running


def answers(one: Any) -> list[Any]:
    return [one.search(list(QUESTIONS), **mode) for mode in MODES]


def look(cluster: InProcess, *shards: str) -> None:
    for line in [cluster.lines[name] for name in shards or cluster.lines]:
        for replica in line.replicas:
            replica.held.look()


def test_one_replica_of_each_shard_is_enough(cluster: InProcess, shards: Published) -> None:
    wanted = answers(shards)
    for line in cluster.lines.values():
        line.replicas[0].alive = False
    assert answers(cluster.collection) == wanted
    for line in cluster.lines.values():
        line.replicas[0].alive = line.replicas[0].hangs = True
    assert answers(cluster.collection) == wanted


def test_a_partial_answer_has_what_the_other_shards_have(cluster: InProcess, shards: Published) -> None:
    collection = cluster.collection
    answers(collection)  # counts of words are known from then on
    for replica in cluster.lines["shard-001"].replicas:
        replica.alive = False
    with Shards.open(shards.path, encoder=WordEncoder()) as whole:
        there = [one.id for one in whole.documents() if one.id in {d.id for d in _in_shard(whole, 0)}]
    for mode in ({}, {"exact": True}, {"mode": "keyword"}, {"mode": "hybrid", "k": 60}):
        with noting_missing() as missing:
            found = collection.search("green tea", **{"k": 20, **mode})
        assert missing == {"shard-001"}
        wanted = [hit for hit in shards.search("green tea", **{**mode, "k": 60}) if hit.id in there]
        assert [hit.id for hit in found] == [hit.id for hit in wanted][: len(found)]
        assert [hit.score for hit in found] == [hit.score for hit in wanted][: len(found)]
        with pytest.raises(ShardsMissingError, match="shard-001"):
            collection.search("green tea", options=SearchOptions(on_missing="error", **mode))
    with pytest.raises(ShardsMissingError, match="shard-001"):
        collection.get([f"d{n}" for n in range(20)])
    with pytest.raises(ShardsMissingError):
        list(collection.scan())
    assert collection.info()["missing_shards"] == ["shard-001"]
    for replica in cluster.lines["shard-000"].replicas:
        replica.alive = False
    with pytest.raises(ShardsMissingError):  # an answer of nothing would be no answer
        collection.search("green tea")


def _in_shard(shards: Shards, number: int) -> list[Any]:
    with shards._current() as view:
        return list(view.catalog.catalogs[number].all_documents())


def test_words_that_were_not_counted_before_the_shard_went(cluster: InProcess) -> None:
    for replica in cluster.lines["shard-001"].replicas:
        replica.alive = False
    with noting_missing() as missing:
        for mode in ("keyword", "hybrid"):
            assert cluster.collection.search("чай water", mode=mode)
    assert missing == {"shard-001"}
    for replica in cluster.lines["shard-001"].replicas:
        replica.alive = True
    cluster.session._find_missing()
    with noting_missing() as missing:
        cluster.collection.search("чай water", mode="keyword")
    assert missing == set()


def test_full_answers_come_back(cluster: InProcess, shards: Published) -> None:
    wanted = answers(shards)
    gone = cluster.lines["shard-000"].replicas
    for replica in gone:
        replica.alive = False
    with noting_missing() as missing:
        cluster.collection.search("green tea")
    assert missing == {"shard-000"}
    for replica in gone:
        replica.alive = True
    cluster.session._find_missing()  # as it is done now and then
    with noting_missing() as missing:
        assert answers(cluster.collection) == wanted
    assert missing == set()


def test_texts_of_a_shard_that_goes_after_its_answer(
    cluster: InProcess, shards: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyvec.cluster.serving.version._MOST_SENT", 3)
    line = cluster.lines["shard-001"]
    send = line.send

    async def no_documents(call: Any, route: Any) -> Any:
        if call.method == "documents":
            for replica in line.replicas:
                replica.alive = False
        return await send(call, route)

    line.send = no_documents  # type: ignore[method-assign]
    with noting_missing() as missing:
        found = cluster.collection.search("the tea", k=60, mode="hybrid")
    assert missing == {"shard-001"}
    assert {hit.id for hit in found} <= {one.id for one in _in_shard(shards, 0)}
    assert found


def test_a_version_takes_over_when_every_replica_holds_it(cluster: InProcess, shards: Published) -> None:
    old = answers(shards)
    shards.update([document(n, seed=9) for n in range(40)])
    new = answers(shards)
    assert old != new
    publish_shards(shards.path, shards.url)
    cluster.session._look(patient=True)
    assert answers(cluster.collection) == old
    look(cluster, "shard-000")
    cluster.lines["shard-001"].replicas[0].held.look()
    cluster.session._look(patient=True)
    assert answers(cluster.collection) == old, "one replica of shard-001 does not hold it yet"
    look(cluster)
    assert answers(cluster.collection) == old
    cluster.session._look(patient=True)
    assert answers(cluster.collection) == new
    assert cluster.collection.info()["published_version"] == 2


def test_a_replica_that_lags_behind_is_waited_for_a_while(cluster: InProcess, shards: Published) -> None:
    shards.update([document(n, seed=9) for n in range(40)])
    publish_shards(shards.path, shards.url)
    for line in cluster.lines.values():
        line.replicas[1].held.look()
    for _ in range(6):
        cluster.session._look(patient=True)
        assert cluster.session.version.published.version == 1
    cluster.session._look(patient=True)
    assert answers(cluster.collection) == answers(shards)
    assert cluster.session.version.published.version == 2


def test_a_version_that_every_replica_has_let_go(shards: Published, tmp_path: Path) -> None:
    with in_process(shards.url, tmp_path / "copies", replicas=1, encoder=WordEncoder(), keep_s=0.0) as cluster:
        shards.update([document(n, seed=9) for n in range(40)])
        publish_shards(shards.path, shards.url)
        look(cluster)
        assert all(len(replica.held.labels) == 1 for replica in cluster.replicas)
        assert answers(cluster.collection) == answers(shards)


def test_searches_go_on_while_versions_change(cluster: InProcess, shards: Published) -> None:
    seen = [answers(shards)]
    ended = threading.Event()
    wrong: list[Any] = []

    def ask() -> None:
        while not ended.is_set():
            found = answers(cluster.collection)
            right = [one in (each[mode] for each in list(seen)) for mode, one in enumerate(found)]
            wrong.extend([] if all(right) else [found])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seed in range(10, 14):
        shards.update([document(n, seed=seed) for n in range(40)])
        seen.append(answers(shards))
        publish_shards(shards.path, shards.url)
        look(cluster)
        cluster.session._look(patient=True)
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cluster.session.version.published.version == 5


def test_other_shards_need_another_deployment(cluster: InProcess, shards: Published, tmp_path: Path) -> None:
    with Shards.create(tmp_path / "other", shards=3, encoder=WordEncoder()) as other:
        other.add(documents(10))
        cluster.session._newest = lambda: _whole(other, tmp_path)
        with pytest.raises(InputError, match="other shards was published"):
            cluster.session.refresh()
    assert answers(cluster.collection) == answers(shards)


def _whole(shards: Shards, tmp_path: Path) -> Any:
    from polyvec.cluster.serving.place import collection_at_address

    publish_shards(shards.path, tmp_path / "other-published")
    return collection_at_address(str(tmp_path / "other-published"))


def test_shards_that_do_not_fit(shards: Published, tmp_path: Path) -> None:
    from dataclasses import replace

    with in_process(shards.url, tmp_path / "copies") as cluster:
        version = cluster.session.version
        first, second = version.parts
        for settings, error in (
            (replace(second.settings, dim=99), IndexCorruptError),
            (replace(second.settings, model=None), ModelMismatchError),
        ):
            with pytest.raises(error, match="shard-001"):
                type(version)(
                    version.published, [first, replace(second, settings=settings)], version.calls, version.loop
                )


def test_it_does_not_wait_for_ever_for_the_first_version(shards: Published, tmp_path: Path) -> None:
    from polyvec.cluster.serving.place import collection_at_address
    from tests.cluster.in_process import InProcessLine

    with pytest.raises(ServerError, match=r"not ready within 0\.1 s: No machine answers for shard-00[01]"):
        ClusterSession(
            "cluster", lambda: collection_at_address(str(shards.url)), lambda name: InProcessLine([]), patience=QUICK,
            open_within_s=0.1,
        )  # fmt: skip


def test_closed(cluster: InProcess) -> None:
    cluster.collection.close()
    cluster.collection.close()
    with pytest.raises(StorageError, match="closed"):
        cluster.collection.search("tea")
