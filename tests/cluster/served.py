"""A Ray cluster of several nodes on this machine that serves a collection, and what can be done to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from polyvec import Encoder, SearchOptions, Shards
from polyvec.cluster.ray_session import ray_session
from polyvec.cluster.serving.config import APP, ClusterServeConfig
from tests.cluster.load import Hits

# As a client sends them, and as a program asks.
QUESTIONS: dict[str, dict[str, Any]] = {
    "late": {"query": "green tea from the mountain", "k": 8, "options": {"exact": True}},
    "default": {"query": "bees dance near flowers", "k": 5},
    "keyword": {"query": "river water", "k": 10, "mode": "keyword"},
    "hybrid": {"query": "black tea and bread", "k": 10, "mode": "hybrid"},
    "filter": {"query": "history of science", "k": 6, "filter": {"lang": "de"}},
    "subset": {"query": "planet", "k": 4, "mode": "hybrid", "subset": [f"d{n}" for n in range(0, 90, 3)]},
}
WORDS = [
    "tea", "green", "black", "water", "river", "bees", "dance", "flowers", "mountain", "sea", "bread", "oven", "music", "history",
    "science", "animal", "planet",
]  # fmt: skip
_SYSTEM = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


def documents(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Texts of a few words."""
    import random

    drawn = random.Random(seed)
    return [
        {"id": f"d{n}", "text": " ".join(drawn.choices(WORDS, k=9)), "lang": drawn.choice(["de", "en"]), "n": n}
        for n in range(count)
    ]


def expected(folder: Path, encoder: Encoder) -> dict[str, Hits]:
    """What shards in one process answer."""
    with Shards.open(folder, encoder=encoder) as shards:
        found = {}
        for name, body in QUESTIONS.items():
            given = {key: value for key, value in body.items() if key not in ("query", "options")}
            options = SearchOptions.from_dict({**given, **body.get("options", {})})
            hits = shards.search(body["query"], options=options)
            found[name] = tuple((hit.id, hit.score) for hit in hits)
        return found


class Served:
    """A collection on a cluster. url: where it answers."""

    def __init__(self, cluster: Any, nodes: list[Any], url: str) -> None:
        self._cluster, self.nodes, self.url = cluster, nodes, url

    def replicas(self, shard: str) -> list[str]:
        """Names of the actors that hold a shard."""
        return replicas(shard)

    def kill_replicas(self, shard: str, most: int = 1) -> int:
        """As a crash of their processes. Returns how many there were."""
        return kill_replicas(shard, most)

    def kill_node(self) -> None:
        """As a machine that loses its power."""
        self._cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def add_node(self) -> None:
        self.nodes.append(_node(self._cluster, len(self.nodes) + 20))

    def ask(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/search", json=body, timeout=30, trust_env=False)


def replicas(shard: str) -> list[str]:
    """Names of the actors that hold a shard."""
    import ray

    actors = ray.util.list_named_actors(all_namespaces=True)
    return [one["name"] for one in actors if one["name"].startswith(f"SERVE_REPLICA::{APP}#{shard}#")]


def kill_replicas(shard: str, most: int = 1) -> int:
    """As a crash of their processes. Returns how many there were."""
    import ray

    killed = 0
    for name in replicas(shard)[:most]:
        try:
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)
            killed += 1
        except ValueError:  # it is gone already
            continue
    return killed


@contextmanager
def served(collection: str | Path, *, nodes: int, port: int, front: int = 1, **settings: Any) -> Iterator[Served]:
    """Several nodes, each with an address of its own, and the collection served by them. The first one is asked."""
    from ray import serve
    from ray.cluster_utils import Cluster

    from polyvec.cluster.serving.serve import build

    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", OMP_NUM_THREADS="1")
    config = ClusterServeConfig(collection=str(collection), ingress_replicas=front, **settings)
    cluster = Cluster()
    try:
        made = [_node(cluster, number) for number in range(nodes)]
        with ray_session(cluster.address):
            serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
            serve.run(build(config.to_dict()), name=APP, route_prefix="/")
            try:
                yield Served(cluster, made[1:], f"http://127.0.0.1:{port}")
            finally:
                serve.shutdown()
    finally:
        cluster.shutdown()


def _node(cluster: Any, number: int) -> Any:
    more = {} if cluster.head_node else {"_system_config": _SYSTEM, "include_dashboard": False}
    return cluster.add_node(num_cpus=8, object_store_memory=80_000_000, node_ip_address=f"127.0.0.{number + 2}", **more)


def until(holds: Callable[[], Any], *, seconds: float = 90.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)
