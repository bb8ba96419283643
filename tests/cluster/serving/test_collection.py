"""A cluster finds what shards in one process find, and what one index finds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec import Index, SearchOptions, Shards
from polyvec.cluster.serving.collection import ClusterCollection
from polyvec.errors import FilterError, InputError, StorageError
from tests.cluster.in_process import in_process
from tests.conftest import WordEncoder
from tests.shards.corpus import FILTERS, QUESTIONS, WORDS, documents, vectors
from tests.shards.same import MODES, restrictions


class Three:
    """The same documents in one index, in shards, and in shards behind calls."""

    def __init__(self, index: Index, shards: Shards, cluster: ClusterCollection) -> None:
        self.index, self.shards, self.cluster = index, shards, cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    folder = tmp_path_factory.mktemp("three")
    with (
        Shards.create(folder / "shards", shards=4, encoder=WordEncoder()) as shards,
        Index.create(folder / "index", encoder=WordEncoder()) as index,
    ):
        for one in (shards, index):
            one.add(documents(120))
            one.delete(["d7", "d33"])
            one.update(documents(10, first=20, seed=4))
        with in_process(folder / "shards", folder / "copies", replicas=2, encoder=WordEncoder()) as cluster:
            yield Three(index, shards, cluster.collection)


def test_every_mode_with_every_restriction(three: Three) -> None:
    ids = [document.id for document in three.index.documents()]
    found = 0
    for mode, restriction in product(MODES, restrictions(ids)):
        wanted = three.index.search(list(QUESTIONS), k=12, **mode, **restriction)
        assert three.cluster.search(list(QUESTIONS), k=12, **mode, **restriction) == wanted, (mode, restriction)
        found += sum(map(len, wanted))
    assert found > 1000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_question(three: Three, data: st.DataObject) -> None:
    question = " ".join(data.draw(st.lists(st.sampled_from([*WORDS, "unknown", "th"]), min_size=1, max_size=6)))
    options = SearchOptions(
        k=data.draw(st.integers(1, 150)),
        mode=data.draw(st.sampled_from(["late", "keyword", "hybrid"])),
        fusion=data.draw(st.sampled_from(["weight", "rank"])),
        weight=data.draw(st.none() | st.floats(0, 1)),
        exact=data.draw(st.booleans()),
        filter=data.draw(st.none() | st.sampled_from(FILTERS)),
        subset=data.draw(st.none() | st.lists(st.integers(0, 130).map("d{}".format), max_size=40)),
    )
    if options.mode != "keyword" and data.draw(st.booleans()):
        options = options.updated({"min_score": data.draw(st.floats(0, 1))})
    wanted = three.index.search(question, options=options)
    assert three.cluster.search(question, options=options) == wanted
    assert three.shards.search(question, options=options) == wanted


def test_texts_of_more_hits_than_come_with_the_answers(three: Three) -> None:
    for mode in ("late", "keyword", "hybrid"):
        wanted = three.index.search("green tea", k=110, mode=mode)
        assert len(wanted) > 50
        assert three.cluster.search("green tea", k=110, mode=mode) == wanted


def test_vectors(three: Three, tmp_path: Path) -> None:
    ids, arrays = [f"v{n}" for n in range(60)], [vectors(n) for n in range(60)]
    with (
        Shards.create(tmp_path / "shards", shards=3, dim=8) as shards,
        Index.create(tmp_path / "index", dim=8) as index,
    ):
        for one in (shards, index):
            one.add_vectors(ids, arrays)
        with in_process(tmp_path / "shards", tmp_path / "copies") as cluster:
            queries = [vectors(n) for n in range(100, 110)]
            found = cluster.collection.search_vectors(queries, k=20)
            assert found == index.search_vectors(queries, k=20)
            with pytest.raises(InputError, match="holds vectors only"):
                cluster.collection.search("text")
            with pytest.raises(InputError, match="needs the query's text"):
                cluster.collection.search_vectors(queries[0], options=SearchOptions(mode="hybrid"))


def test_codes_find_at_least_as_much(tmp_path: Path) -> None:
    """Each shard narrows its own documents down, so no hit is worse than that of all shards together."""
    rng = np.random.default_rng(5)
    ids = [f"v{n}" for n in range(6000)]
    arrays = [rng.standard_normal((4, 16)).astype(np.float32) for _ in ids]
    with Shards.create(tmp_path / "shards", shards=3, dim=16) as shards:
        shards.add_vectors(ids, arrays)
        shards.compact()
        assert shards.info()["coded_segments"] > 0
        queries = [rng.standard_normal((8, 16)).astype(np.float32) for _ in range(20)]
        options = SearchOptions(k=10, nprobe=2, candidates=100)
        with in_process(tmp_path / "shards", tmp_path / "copies") as cluster:
            assert cluster.collection.search_vectors(queries, exact=True) == shards.search_vectors(queries, exact=True)
            together = shards.search_vectors(queries, options=options)
            apart = cluster.collection.search_vectors(queries, options=options)
            for one, other in zip(apart, together, strict=True):
                assert len(one) == len(other)
                assert all(a.score >= b.score for a, b in zip(one, other, strict=True))


def test_reading(three: Three) -> None:
    cluster, index = three.cluster, three.index
    assert len(cluster) == len(index)
    assert "d5" in cluster
    assert "d7" not in cluster
    ids = ["d5", "no such id", "d7", "d100"]
    assert cluster.get(ids) == index.get(ids)
    assert list(cluster.scan()) == list(index.scan())
    assert list(cluster.scan(filter=FILTERS[0], after="d3", limit=9)) == list(
        index.scan(filter=FILTERS[0], after="d3", limit=9)
    )
    assert cluster.fields() == index.fields()
    facts = cluster.info()
    assert (facts["documents"], facts["shards"], facts["missing_shards"]) == (len(index), 4, [])
    hit = cluster.search("green tea", k=1)[0]
    assert hit.explain().to_dict() == index.explain("green tea", hit).to_dict()
    cluster.refresh()


def test_what_is_refused(three: Three) -> None:
    calls: list[Any] = [
        lambda: three.cluster.add([{"id": "new", "text": "text"}]),
        lambda: three.cluster.delete(["d5"]),
        lambda: three.cluster.update_metadata({"d5": {"n": 1}}),
        lambda: list(three.cluster.documents()),
        three.cluster.verify,
        lambda: three.cluster.copy("elsewhere"),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="cluster"):
            call()
    with pytest.raises(FilterError):
        three.cluster.search("tea", filter={"n": {"$no": 1}}, subset=[])
    with pytest.raises(FilterError):
        list(three.cluster.scan(filter={"n": {"$no": 1}}))
    assert three.cluster.search("tea", subset=[]) == []


def test_one_index_is_a_shard_too(three: Three, tmp_path: Path) -> None:
    with in_process(three.index.path, tmp_path, encoder=WordEncoder()) as cluster:
        for mode in MODES:
            assert cluster.collection.search(list(QUESTIONS), **mode) == three.index.search(list(QUESTIONS), **mode)
