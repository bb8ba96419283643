"""Which replica a call goes to: of those that Ray Serve says are running, one that this call has not tried yet.

Then one that has not kept others waiting lately, then the one with the shortest queue.
"""

from __future__ import annotations

import random
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from polyvec.cluster.serving.question import Route


class ReplicaRouter(RequestRouter):
    """A router that reads and notes the `Route` of each call."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replicas in the order in which they are to be tried."""
        route = _route_of(pending_request)
        lengths = self.replica_queue_len_cache

        def place(replica: RunningReplica) -> tuple[bool, bool, int, float]:
            name = replica.replica_id.to_full_id_str()
            return name in route.tried, name in route.slow, lengths.get(replica.replica_id) or 0, random.random()

        ordered = sorted(candidate_replicas, key=place)
        if ordered:
            _note(route, ordered[0].replica_id)  # noted before it has accepted: it may never say so
        return [[replica] for replica in ordered]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Note a replica that took the call in place of the first one, whose queue was full."""
        _note(_route_of(pending_request), replica_id)


def _route_of(request: PendingRequest | None) -> Route:
    found = None if request is None else request.kwargs.get("route")
    return found if isinstance(found, Route) else Route()


def _note(route: Route, replica_id: ReplicaID) -> None:
    name = replica_id.to_full_id_str()
    if name not in route.tried:
        route.tried.append(name)
