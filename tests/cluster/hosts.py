"""Hosts of their own on this machine: network namespaces with addresses of their own, joined by a bridge. Needs root.

A host is cut off by taking its network down: its processes go on, and nobody reaches them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

_BRIDGE = "pvbr0"
_NET = "10.77.0"
OUTSIDE = f"{_NET}.254"  # this machine, as the hosts see it


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def possible() -> bool:
    """Whether this user may make network namespaces."""
    if shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", "pvprobe"], capture_output=True, check=False).returncode == 0
    _ip("netns", "del", "pvprobe", check=False)
    return made


class Host:
    """One of them. address: in the network of all · folder: its own."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name, self.address = f"pv{number}", f"{_NET}.{number}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ray: subprocess.Popen[bytes] | None = None
        self._outer = f"pvout{number}"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._outer, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._outer, "master", _BRIDGE, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "lo", "up")
        self.join()

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs on this host."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def start_ray(self, head: str, environment: dict[str, str], *settings: str) -> None:
        """A Ray node. head: its own address for the first one."""
        where = (
            ["--head", "--port=6379", f"--temp-dir={self.folder / 'ray'}", "--include-dashboard=false"]
            if head == self.address
            else [f"--address={head}:6379"]
        )
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        own = [f"--node-ip-address={self.address}", "--block", "--num-cpus=8", "--object-store-memory=80000000"]
        # Each host has all ports for itself. Where Ray chooses them, its node waits 15 seconds for one: too few on a busy machine.
        own += ["--dashboard-agent-grpc-port=53001", "--dashboard-agent-listen-port=53002"]
        own += ["--runtime-env-agent-port=53003", "--metrics-export-port=53004"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start"]
        self._ray = subprocess.Popen(
            self.command(*ray, *where, *own, "--disable-usage-stats", *settings),
            env={**os.environ, **environment, "TMPDIR": str(temporary)},
            stdout=(self.folder / "ray.log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def wait_for_ray(self) -> None:
        """Until the node says that it runs."""
        for _ in range(1500):
            if "will now block" in (self.folder / "ray.log").read_text(errors="replace"):
                return
            time.sleep(0.2)
        said = (self.folder / "ray.log").read_text(errors="replace")[-2000:]
        raise AssertionError(f"Ray did not start on {self.name}: {said}")

    def cut_off(self) -> None:
        """Its processes go on, and reach nobody."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def join(self) -> None:
        """Undo `cut_off`. The default route leads nowhere: by it, Ray finds out which address is the host's own."""
        _ip("-n", self.name, "link", "set", "eth0", "up")
        _ip("-n", self.name, "route", "replace", "default", "via", OUTSIDE)

    def end_ray(self) -> None:
        """End what `start_ray` started, and every process that came of it."""
        if self._ray is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(self._ray.pid), *psutil.Process(self._ray.pid).children(recursive=True)]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._ray.wait()
        self._ray = None
        for process in self._mine():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _mine(self) -> list[psutil.Process]:
        """Processes in this host's network, which nothing else can be in."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False).stdout
        processes = []
        for pid in found.split():
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(int(pid)))
        return processes

    def remove(self) -> None:
        """End Ray and the host."""
        self.end_ray()
        _ip("netns", "del", self.name, check=False)
        _ip("link", "del", self._outer, check=False)


@contextlib.contextmanager
def hosts(count: int, folder: Path) -> Iterator[list[Host]]:
    """So many of them, which reach each other and this machine, and nothing else."""
    made: list[Host] = []
    _ip("link", "del", _BRIDGE, check=False)
    _ip("link", "add", _BRIDGE, "type", "bridge")
    try:
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for number in range(1, count + 1):
            made.append(Host(number, folder))
        time.sleep(0.5)
        yield made
    finally:
        for one in made:
            one.remove()
        _ip("link", "del", _BRIDGE, check=False)
