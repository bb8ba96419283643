"""Ray, connected to or started. Everything of the cluster comes in here, so that one place says how.

Usage statistics are off, Ray's own notes too, and nothing but a missing cluster is our error.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from polyvec.errors import MissingExtraError, ServerError

NAMESPACE = "polyvec"  # of named actors
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine takes longer than Ray's 30 s
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do by itself, and warns of until then
}


def need_ray() -> None:
    """Check that Ray is there, without loading it.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec("ray") is None:
        raise MissingExtraError(
            "Building and serving on a cluster need Ray, which is not installed: pip install 'polyvec[ray]'."
        )


@contextmanager
def ray_session(address: str | None = None, **settings: Any) -> Iterator[Any]:
    """The module `ray`, connected to a cluster until the block ends.

    A connection that this process has already is used, and stays. Otherwise this connects to `address`, or to RAY_ADDRESS in the
    environment; where neither is given, Ray is started on this machine, and ended with the block.

    Args:
        address: Of a cluster: "auto" for the one that this machine belongs to, or host:port.
        **settings: More arguments of `ray.init`.

    Yields:
        The module.

    Raises:
        MissingExtraError: Ray is not installed.
        ServerError: There is no cluster at the address.
    """
    need_ray()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ray
        return
    ours: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": NAMESPACE}
    if address is None and not os.environ.get("RAY_ADDRESS"):
        ours["include_dashboard"] = False
    at = address or os.environ.get("RAY_ADDRESS")
    try:
        _check_reached(at)
        ray.init(address, **{**ours, **settings})
    except Exception as error:  # Ray itself raises bare ones, where it does not start in time
        where = at or "this machine"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ServerError(
            f"Ray at {where} cannot be used: {reason.rstrip('.')}. Start it there with `ray start --head`, or leave the address "
            "out to use this machine alone."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reached(address: str | None) -> None:
    """Raise OSError where nobody answers at host:port; Ray itself would try for minutes."""
    place = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:([0-9]{1,5})", address or "")
    if place is not None:
        socket.create_connection((place[1], int(place[2])), timeout=10).close()


def nodes_of(ray: Any) -> list[Mapping[str, Any]]:
    """The machines of the cluster that live, as Ray lists them: NodeID, NodeManagerAddress, Resources.

    Args:
        ray: The module, connected.

    Returns:
        One entry a machine.
    """
    return [node for node in ray.nodes() if node["Alive"]]
