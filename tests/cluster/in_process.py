"""Shards and their replicas in this process, behind the same calls as those on other machines; they can be killed and hung."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyvec.cluster.serving.asking import Patience
from polyvec.cluster.serving.collection import ClusterCollection
from polyvec.cluster.serving.held import HeldShard
from polyvec.cluster.serving.place import collection_at_address
from polyvec.cluster.serving.question import Call, Reply, Route
from polyvec.cluster.serving.session import ClusterSession
from polyvec.publish import publish
from polyvec.publish.manifest import version_at
from polyvec.publish.published_shards import ShardVersion, publish_together
from polyvec.publish.store import Store
from polyvec.shards.manifest import read_manifest

QUICK = Patience(try_s=0.3, hedge_s=0.05, shard_s=2.0)


class Replica:
    """One copy of a shard. alive · hangs: whether it never replies · late_s: before it replies."""

    def __init__(self, name: str, held: HeldShard) -> None:
        self.name, self.held = name, held
        self.alive, self.hangs, self.late_s, self.calls = True, False, 0.0, 0


class InProcessLine:
    """The way to the replicas of one shard. Everything is pickled, as on the way to another machine."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self._next = 0

    async def send(self, call: Call, route: Route) -> Reply:
        self._next += 1
        first = self._next % max(len(self.replicas), 1)
        there = [one for one in self.replicas[first:] + self.replicas[:first] if one.alive]
        if not there:
            await asyncio.sleep(3600)
        there.sort(key=lambda one: (one.name in route.tried, one.name in route.slow))
        chosen = there[0]
        route.tried.append(chosen.name)
        chosen.calls += 1
        sent = pickle.loads(pickle.dumps(call))
        if chosen.hangs:
            await asyncio.sleep(3600)
        await asyncio.sleep(chosen.late_s)
        reply = await asyncio.to_thread(chosen.held.answer, sent)
        if not chosen.alive:
            return Reply("failed", "dead", chosen.name)
        return pickle.loads(pickle.dumps(replace(reply, replica=chosen.name)))


class InProcess:
    """A collection at an address, with some replicas of each shard."""

    def __init__(
        self, address: str | Path, folder: Path, *, replicas: int = 1, encoder: Any = None, **more: Any
    ) -> None:
        self.address, self.folder = str(address), folder
        self.lines: dict[str, InProcessLine] = {}
        for name in collection_at_address(self.address).names:
            made = [
                Replica(f"{name}-{number}", self._held(name, keep_s=more.get("keep_s", 60.0)))
                for number in range(replicas)
            ]
            self.lines[name] = InProcessLine(made)
        more.pop("keep_s", None)
        self.session = ClusterSession(
            "cluster", lambda: collection_at_address(self.address), self.lines.__getitem__,
            **{"patience": QUICK, "every_s": 3600.0, **more},
        )  # fmt: skip
        self.collection = ClusterCollection(self.session, encoder=encoder)

    def _held(self, name: str, **more: Any) -> HeldShard:
        held = HeldShard(self.address, name, self.folder, **more)
        held.look()
        return held

    @property
    def replicas(self) -> list[Replica]:
        return [replica for line in self.lines.values() for replica in line.replicas]

    def close(self) -> None:
        self.collection.close()
        for replica in self.replicas:
            replica.held.close()


@contextmanager
def in_process(address: str | Path, folder: Path, **more: Any) -> Iterator[InProcess]:
    """Open, and closed at the end."""
    made = InProcess(address, folder, **more)
    try:
        yield made
    finally:
        with suppress(RuntimeError):
            made.close()


def publish_shards(folder: Path, url: str | Path) -> int:
    """Publish every shard of a folder, and the version that they make up. Returns its number."""
    manifest = read_manifest(folder)
    versions = []
    for name in manifest.shards:
        done = publish(folder / name, f"{url}/{name}")
        manifest_of_shard = version_at(Store(f"{url}/{name}"), done.version)
        versions.append(
            ShardVersion(name, done.version, manifest_of_shard.publication, done.documents, manifest_of_shard.tokens)
        )
    return publish_together(Store(str(url), make=True), manifest, versions).version
