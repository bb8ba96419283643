"""What is checked before a collection is deployed."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polyvec import Shards
from polyvec.cluster.serving.config import ClusterServeConfig
from polyvec.errors import InputError, StorageError
from tests.conftest import WordEncoder

pytest.importorskip("ray", reason="Ray is not installed: pip install 'polyvec[ray]'")
pytestmark = pytest.mark.heavy  # loading Ray Serve takes some seconds
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pydantic, in Ray
    from polyvec.cluster.serving.running import deployed, started_here


def ray_with(nodes: int) -> Any:
    return SimpleNamespace(nodes=lambda: [{"Alive": True}] * nodes + [{"Alive": False}])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "replicas=2 on 1 machine: each replica needs another one"),
        ({"replicas": 1, "ingress_replicas": 3}, "say --ingress-replicas 1"),
    ],
)
def test_each_replica_needs_a_machine_of_its_own(settings: dict[str, Any], message: str) -> None:
    config = ClusterServeConfig(collection="s3://bucket/wiki", **settings)
    with pytest.raises(InputError, match=message), deployed(ray_with(1), config):
        raise AssertionError


def test_nothing_is_started_where_there_is_no_collection(tmp_path: Path) -> None:
    config = ClusterServeConfig(collection=str(tmp_path / "none"), replicas=1)
    with pytest.raises(StorageError, match="no such folder"), deployed(ray_with(1), config):
        raise AssertionError


def test_ray_on_this_machine_has_room_for_every_replica(tmp_path: Path) -> None:
    Shards.create(tmp_path / "shards", shards=5, encoder=WordEncoder()).close()
    asked = started_here(ClusterServeConfig(collection=str(tmp_path / "shards"), replicas=1))
    assert asked["num_cpus"] >= 6
