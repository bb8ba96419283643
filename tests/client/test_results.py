"""What a server's answer says, as an index would say it."""

from __future__ import annotations

import json

import pytest

from polyvec.client.answers import Problem
from polyvec.client.results import results_of
from polyvec.errors import ShardsMissingError
from polyvec.search.missing import noting_missing

HIT = {"id": "1", "score": 2.0, "rank": 1, "text": "tea", "metadata": {}, "normalized_score": 0.5}


@pytest.mark.parametrize(
    ("more", "names"),
    [({"partial": False}, set()), ({"partial": True, "missing_shards": ["shard-001"]}, {"shard-001"})],
)
def test_shards_that_were_not_searched_are_noted(more: dict[str, object], names: set[str]) -> None:
    with noting_missing() as missing:
        ((hit,),) = results_of({"results": [{"query": "tea", "hits": [HIT]}], **more})
    assert (hit.id, missing) == ("1", names)


def test_an_error_of_missing_shards_is_the_one_that_a_cluster_raises() -> None:
    detail = "No machine answers for shard-001. Ask again later."
    error = Problem(503, json.dumps({"type": "/docs#shards-missing", "detail": detail}).encode()).error("http://there")
    assert isinstance(error, ShardsMissingError)
    assert str(error) == detail
