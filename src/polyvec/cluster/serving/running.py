"""A collection served by a Ray cluster for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import serve

from polyvec.cluster.ray_session import nodes_of
from polyvec.cluster.serving.config import APP, ClusterServeConfig
from polyvec.cluster.serving.place import collection_at_address
from polyvec.cluster.serving.serve import build
from polyvec.errors import InputError, ServerError

_OBJECTS_BYTES = 100_000_000  # of Ray's object store, which answers hardly use


@contextmanager
def deployed(ray: Any, config: ClusterServeConfig) -> Iterator[str]:
    """Deploy a collection, and take it away at the end.

    Args:
        ray: The module, connected.
        config: What is served, and how.

    Yields:
        The address that answers, once every replica is up.

    Raises:
        InputError: There are fewer machines than replicas of a shard.
        ServerError: Ray Serve could not start it.
        StorageError: Nothing is at the collection's address.
    """
    machines = len(nodes_of(ray))
    for name, wanted in (("replicas", config.replicas), ("ingress_replicas", config.front)):
        if wanted > machines:
            raise InputError(
                f"{name}={wanted} on {machines} machine{'s' if machines > 1 else ''}: each replica needs another one. Start Ray on "
                f"more machines, or say --{name.replace('_', '-')} {machines}."
            )
    application = build(config.to_dict())
    http = config.serve_config()
    serve.start(proxy_location="EveryNode", http_options={"host": http.host, "port": http.port})
    try:
        serve.run(application, name=APP, route_prefix="/")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise ServerError(
            f"Ray Serve could not start {config.collection}: {reason.rstrip('.')}. Its logs say more."
        ) from error
    try:
        yield f"http://{http.host}:{http.port}"
    finally:
        serve.delete(APP)


def started_here(config: ClusterServeConfig) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray that is started on this machine for this collection alone.

    Args:
        config: What is served.

    Returns:
        As many processors as the replicas ask for, whatever the machine has, and a small object store.
    """
    shards = len(collection_at_address(config.collection).shards)
    return {"num_cpus": max(1, round(config.cpus * (shards + 1) + 1)), "object_store_memory": _OBJECTS_BYTES}
