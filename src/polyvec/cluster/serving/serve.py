"""A collection on Ray Serve: a deployment for each shard, and one that answers HTTP as `polyvec serve` does.

Ray Serve places replicas, watches them, starts them again, and queues calls. `build` is what a configuration file names.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from polyvec.cluster.serving.asking import Line
from polyvec.cluster.serving.collection import ClusterCollection
from polyvec.cluster.serving.config import ClusterServeConfig
from polyvec.cluster.serving.held import HeldShard
from polyvec.cluster.serving.place import collection_at_address, name_of
from polyvec.cluster.serving.question import Call, Reply, Route
from polyvec.cluster.serving.router import ReplicaRouter
from polyvec.cluster.serving.session import ClusterSession
from polyvec.collection.settings import load_model
from polyvec.errors import PolyvecError, StorageError
from polyvec.publish.store import parsed_url
from polyvec.serve.app import create_app
from polyvec.serve.collections import Collection, Collections
from polyvec.serve.encoding import SharedEncoder
from polyvec.serve.guard import Guard

log = logging.getLogger(__name__)
FRONT = "http"  # the deployment that clients ask
_HEALTH_EVERY_S, _HEALTH_WITHIN_S = 5.0, 10.0
_UNREACHED = (RayError, RayServeException, ConnectionError, TimeoutError)


class NobodyWaitsError(Exception):
    """Whoever asked has given up."""


class ShardReplica:
    """One copy of one shard, on one machine."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        config = ClusterServeConfig.from_dict(settings)
        self._id = serve.get_replica_context().replica_id.to_full_id_str()
        self._held = HeldShard(config.collection, name, _copies(config), threads=config.threads)
        self._held.begin()
        self._threads = ThreadPoolExecutor(config.at_once, thread_name_prefix="polyvec-search")
        self._every_s = config.every
        threading.Thread(target=self._follow, name="polyvec-following", daemon=True).start()

    async def ask(self, call: Call, route: Route) -> Reply:
        """Do what a call says. The route is for the router alone."""
        end, ended = time.monotonic() + call.within_s, threading.Event()

        def check() -> None:
            if ended.is_set() or time.monotonic() > end:
                raise NobodyWaitsError

        def work() -> Reply:
            check()
            return self._held.answer(call, check)

        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except NobodyWaitsError:
            return Reply("failed", "nobody waits any more", self._id)
        except asyncio.CancelledError:
            ended.set()
            raise
        return replace(reply, replica=self._id)

    def check_health(self) -> None:
        """Ray Serve starts this replica anew where this raises."""
        if not self._held.labels:
            raise StorageError("no version is open")

    def _follow(self) -> None:
        while True:
            time.sleep(self._every_s)
            try:
                self._held.look()
            except (PolyvecError, OSError) as error:
                log.warning("%s: still at version %s: %s", self._id, self._held.labels[-1:], error)


class RayLine:
    """The way to the replicas of one shard, through Ray Serve."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def send(self, call: Call, route: Route) -> Reply:
        """See `polyvec.cluster.serving.asking.Line`."""
        response = self._handle.ask.remote(call, route=route)
        try:
            reply: Reply = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except _UNREACHED as error:
            return Reply("failed", f"{type(error).__name__}: {error}")
        return reply


def build(settings: Mapping[str, Any]) -> Any:
    """The application that Ray Serve runs.

    Args:
        settings: As `ClusterServeConfig.to_dict` has them: the `args` of the application in a configuration file.

    Returns:
        The bound application.

    Raises:
        InputError: A setting makes no sense.
        StorageError: Nothing is at the collection's address.
    """
    config = ClusterServeConfig.from_dict(settings)
    plain = config.to_dict()
    common: dict[str, Any] = {
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": config.cpus},
        "health_check_period_s": _HEALTH_EVERY_S,
        "health_check_timeout_s": _HEALTH_WITHIN_S,
        "logging_config": LoggingConfig(enable_access_log=False),
    }
    shards = [
        serve.deployment(ShardReplica)
        .options(
            name=name,
            num_replicas=config.replicas,
            max_ongoing_requests=config.queue,
            request_router_config=RequestRouterConfig(request_router_class=ReplicaRouter),
            **common,
        )
        .bind(name, plain)
        for name in collection_at_address(config.collection).names
    ]

    def make_app() -> Guard:
        return front_app(plain)

    front = serve.deployment(serve.ingress(make_app)())
    places = config.serve_config().places
    return front.options(name=FRONT, num_replicas=config.front, max_ongoing_requests=2 * places, **common).bind(*shards)


def front_app(settings: Mapping[str, Any]) -> Guard:
    """The application that answers HTTP, in a replica of Ray Serve; waits until every shard is there.

    Args:
        settings: As `build` takes them.
    """
    config = ClusterServeConfig.from_dict(settings)
    app_name = serve.get_replica_context().app_name

    def line(name: str) -> Line:
        return RayLine(serve.get_deployment_handle(name, app_name=app_name))

    session = ClusterSession(
        name_of(config.collection),
        lambda: collection_at_address(config.collection),
        line,
        patience=config.patience,
        every_s=config.every,
    )
    encoder = None if session.settings.model is None else SharedEncoder(load_model(session.path, session.settings))
    served = ClusterCollection(session, encoder=encoder)
    return create_app(Collections([Collection(served.name, served, encoder)]), config.serve_config())


def _copies(config: ClusterServeConfig) -> Path:
    """The folder of this machine for what is pulled from the collection's address."""
    if config.copies is not None:
        return Path(config.copies)
    url, _ = parsed_url(config.collection)
    user = getattr(os, "getuid", lambda: 0)()
    return Path(tempfile.gettempdir()) / f"polyvec-{user}" / hashlib.sha256(url.encode()).hexdigest()[:16]
