"""How a cluster serves a collection: every setting once, for the command, the file that `serve deploy` takes, and Ray Serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from polyvec.arguments import number, shown, whole_number
from polyvec.cluster.serving.asking import Patience
from polyvec.errors import InputError
from polyvec.publish.store import parsed_url
from polyvec.serve.config import ServeConfig, duration_s

APP = "polyvec"
IMPORT_PATH = "polyvec.cluster.serving.serve:build"
_WAITING_THREADS = 32  # of the machine that clients ask; they wait for shards
_TIMED = ("every", "try_timeout", "hedge_after", "shard_timeout")


@dataclass(frozen=True, kw_only=True)
class ClusterServeConfig:
    """Checked on creation. Raises InputError for a value that makes no sense."""

    collection: str  # where shards or an index are published, or a folder that every machine sees
    replicas: int = 2  # of each shard, each on another machine
    ingress_replicas: int | None = None  # of what clients ask, each on another machine; None: as many as of a shard
    cpus: float = 1.0  # that Ray keeps for each replica
    threads: int = 1  # that search one query of one shard
    at_once: int = 1  # queries that one replica of a shard searches at once
    queue: int = 64  # calls that a replica of a shard takes at once, waiting ones included
    copies: str | None = None  # folder for what is pulled, on every machine; None: one for temporary files
    every: float = 10.0  # seconds between two looks for a newer version
    try_timeout: float = 2.0  # seconds for one try; then another replica is asked
    hedge_after: float = 0.1  # seconds, at least, after which another replica is asked beside
    shard_timeout: float = 5.0  # seconds for all tries; then the shard is missing
    http: Mapping[str, Any] = field(default_factory=dict)  # settings of `polyvec serve`, by name

    def __post_init__(self) -> None:
        def keep(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        parsed_url(self.collection)
        for name, counted in (
            ("replicas", "replicas"),
            ("threads", "threads"),
            ("at_once", "queries"),
            ("queue", "calls"),
        ):
            keep(name, whole_number(name, getattr(self, name), of=counted))
        if self.ingress_replicas is not None:
            keep("ingress_replicas", whole_number("ingress_replicas", self.ingress_replicas, of="replicas"))
        keep(
            "cpus", number("cpus", self.cpus, "a number of processors from 0 to 1024", lambda value: 0 <= value <= 1024)
        )
        for name in _TIMED:
            keep(name, duration_s(name, getattr(self, name)))
        if self.copies is not None and (not isinstance(self.copies, str) or not self.copies.strip()):
            raise InputError(f"copies={shown(self.copies)}: expected the path of a folder.")
        if not isinstance(self.http, Mapping):
            raise InputError(f"http={shown(self.http)}: expected settings of `polyvec serve` by name.")
        self.serve_config()

    @property
    def front(self) -> int:
        """Replicas of what clients ask."""
        return self.replicas if self.ingress_replicas is None else self.ingress_replicas

    @property
    def patience(self) -> Patience:
        """How long to wait for a shard."""
        return Patience(try_s=self.try_timeout, hedge_s=self.hedge_after, shard_s=self.shard_timeout)

    def serve_config(self) -> ServeConfig:
        """How HTTP is answered: read-only, by threads that wait for shards."""
        known = {one.name for one in fields(ServeConfig)}
        for name in self.http:
            if name not in known:
                raise InputError(f"http: unknown setting {shown(name)}; expected some of {', '.join(sorted(known))}.")
        return ServeConfig(**{"threads": _WAITING_THREADS, **self.http, "read_only": True})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClusterServeConfig:
        """The settings in a file, as `to_dict` writes them.

        Args:
            values: Settings by name; those that are left out keep their defaults.

        Raises:
            InputError: A name is unknown, `collection` is missing, or a value makes no sense.
        """
        known = {one.name for one in fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(f"unknown setting {shown(name)}; expected some of {', '.join(sorted(known))}.")
        if "collection" not in values:
            raise InputError("collection is missing: expected where shards or an index are published.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values."""
        default = asdict(ClusterServeConfig(collection=self.collection))
        values = {**asdict(self), "http": dict(self.http)}
        return {name: value for name, value in values.items() if name == "collection" or value != default[name]}

    def deploy_config(self) -> dict[str, Any]:
        """What `serve deploy FILE` and KubeRay's `serveConfigV2` take."""
        http = self.serve_config()
        return {
            "proxy_location": "EveryNode",
            "http_options": {"host": http.host, "port": http.port},
            "applications": [
                {"name": APP, "route_prefix": "/", "import_path": IMPORT_PATH, "args": self.to_dict()},
            ],
        }
