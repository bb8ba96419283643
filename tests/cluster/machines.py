"""Ray clusters of several hosts on this machine: addresses of their own, little memory, and quick to notice who is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from tests.conftest import WordEncoder

MEMORY = 100_000_000  # bytes of each host's object store
_HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 10,  # a busy machine answers late
}


@contextmanager
def machines(*processors: int) -> Iterator[Any]:
    """A cluster whose first host is the head, connected to this process.

    Args:
        *processors: Of each host.

    Yields:
        Ray's `Cluster`.
    """
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        RAY_raylet_start_wait_time_s="180",
        OMP_NUM_THREADS="1",
    )
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": processors[0],
            "object_store_memory": MEMORY,
            "node_ip_address": "127.0.0.2",  # 127.0.0.1 is rewritten
            "include_dashboard": False,
            "_system_config": _HEALTH,
        },
    )
    try:
        for number, count in enumerate(processors[1:], start=3):
            cluster.add_node(num_cpus=count, object_store_memory=MEMORY, node_ip_address=f"127.0.0.{number}")
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR", namespace="polyvec")
        try:
            yield cluster
        finally:
            ray.shutdown()
    finally:
        cluster.shutdown()


class NotingWords(WordEncoder):
    """Takes its time, and notes in a folder which process on which host encoded which text.

    Args:
        folder: Of the notes.
        seconds: That a document takes.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        import ray

        super().__init__()
        self._seconds = seconds
        host = ray.util.get_node_ip_address()
        self._note = Path(folder) / f"{host}-{os.getpid()}"

    def _encode(self, text: str, limit: int) -> Any:
        with self._note.open("a", encoding="utf-8") as note:
            note.write(text + "\n")
        sleep(self._seconds)
        return super()._encode(text, limit)


class Noting:
    """Makes such encoders.

    Args:
        folder: Of the notes.
        seconds: That a document takes.
    """

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.folder, self.seconds = folder, seconds
        folder.mkdir(exist_ok=True)

    def __call__(self, threads: int) -> WordEncoder:
        import ray

        return NotingWords(str(self.folder), self.seconds) if ray.is_initialized() else WordEncoder()

    def forget(self) -> None:
        """Remove all notes."""
        for path in self.folder.iterdir():
            path.unlink()

    def processes(self) -> list[tuple[str, int]]:
        """Host and process of each encoder that has encoded something."""
        found = [path.name.rsplit("-", 1) for path in self.folder.iterdir()]
        return sorted((host, int(process)) for host, process in found)
