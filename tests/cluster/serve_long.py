"""Four shards, two replicas each, on three hosts, asked for minutes while things go wrong. Run: python -m tests.cluster.serve_long

Hosts are network namespaces that share nothing but an object store (moto's S3). Meanwhile a replica is killed, a host is cut off
from the network and comes back as a new node, and a new version is rolled in. The first host, which has Ray's head, stays: without
it Ray itself does not place anything. Prints what became of every question; ends with 1 where one was wrong, failed or partial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from polyvec import Encoder, Shards
from tests.cluster.hosts import OUTSIDE, Host, hosts, possible
from tests.cluster.in_process import publish_shards
from tests.cluster.load import Load
from tests.cluster.served import QUESTIONS, documents, expected

SHARDS, HOSTS, PORT, BUCKET = 4, 3, 8000, "s3://library/wiki"
_SYSTEM = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return serve_inside()
    if not possible():
        print("This needs root and the command ip: each host is a network namespace.")
        return 2
    with tempfile.TemporaryDirectory(prefix="polyvec-serve-") as folder:
        return run(Path(folder), arguments)


def run(folder: Path, arguments: argparse.Namespace) -> int:
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="disabled",
        OMP_NUM_THREADS="1",
        RAY_raylet_start_wait_time_s="180",
        RAY_agent_register_timeout_ms="180000",
    )
    with hosts(HOSTS, folder) as made:
        store = start_store()
        try:
            encoder = Encoder(dim=32)
            with Shards.create(folder / "shards", shards=SHARDS, encoder=encoder) as shards:
                shards.add(documents(arguments.documents))
                publish_shards(shards.path, BUCKET)
                answers = [expected(shards.path, encoder)]
                shards.update(documents(arguments.documents // 4, seed=2))
                answers.append(expected(shards.path, encoder))
                return drive(made, shards, answers, arguments)
        finally:
            store.kill()
            store.wait()


def drive(made: list[Host], shards: Shards, answers: list[Any], arguments: argparse.Namespace) -> int:
    environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "RAY_", "OMP_"))}
    head = made[0]
    head.start_ray(head.address, environment, f"--system-config={json.dumps(_SYSTEM)}")
    head.wait_for_ray()
    for host in made[1:]:
        host.start_ray(head.address, environment)
        host.wait_for_ray()
    own = {**os.environ, "TMPDIR": str(head.folder / "tmp"), "HEAD": f"{head.address}:6379"}
    inside = subprocess.Popen(
        head.command(sys.executable, "-m", "tests.cluster.serve_long", "--inside"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own,
    )  # fmt: skip
    assert inside.stdin is not None
    assert inside.stdout is not None
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

    def tell(word: str) -> str:
        inside.stdin.write(word + "\n")  # type: ignore[union-attr]
        inside.stdin.flush()  # type: ignore[union-attr]
        return inside.stdout.readline().strip()  # type: ignore[union-attr]

    try:
        line = inside.stdout.readline().strip()
        assert line == "ready", line
        say("ready")
        whole = 60 * arguments.minutes
        with Load(f"http://{head.address}:{PORT}", QUESTIONS, answers, clients=arguments.clients) as tally:
            began = time.monotonic()
            phases = Phases(tally)
            time.sleep(0.1 * whole)
            phases.next("quiet")
            say(f"a replica is killed: {tell('kill shard-000')}")
            time.sleep(0.15 * whole)
            phases.next("replica killed")
            made[2].cut_off()
            say("a host is cut off")
            time.sleep(0.2 * whole)
            phases.next("host cut off")
            made[2].end_ray()
            made[2].join()
            made[2].start_ray(head.address, environment)
            say("the host is there again, as a new node")
            time.sleep(0.15 * whole)
            phases.next("host back")
            publish_shards(shards.path, BUCKET)
            say("a new version is published")
            time.sleep(0.2 * whole)
            phases.next("new version")
            say(f"a replica is killed: {tell('kill shard-003')}")
            time.sleep(0.2 * whole)
            phases.next("replica killed again")
        say("done")
        result = tally.summary()
        result["load_average"] = os.getloadavg()
        result["phases"] = phases.seen
        print(json.dumps(result, indent=1))
        good = not (tally.wrong or tally.failed or tally.partial) and tally.by_version[1] > 0
        return 0 if good else 1
    finally:
        inside.terminate()
        inside.wait(30)


class Phases:
    """How long questions waited between two events."""

    def __init__(self, tally: Any) -> None:
        self._tally, self._from = tally, 0
        self.seen: dict[str, dict[str, float]] = {}

    def next(self, name: str) -> None:
        waits = sorted(self._tally.waits_s[self._from :])
        self._from += len(waits)
        if waits:
            self.seen[name] = {
                "asked": len(waits),
                "p50_ms": round(1000 * waits[len(waits) // 2], 1),
                "p99_ms": round(1000 * waits[int(0.99 * (len(waits) - 1))], 1),
                "longest_ms": round(1000 * waits[-1], 1),
            }


def start_store() -> subprocess.Popen[bytes]:
    """An object store on this machine, which every host reaches."""
    code = (
        "import logging, time\nfrom moto.server import ThreadedMotoServer\nlogging.getLogger('werkzeug').setLevel(logging.ERROR)\n"
        f"ThreadedMotoServer(ip_address='{OUTSIDE}', port=5000, verbose=False).start()\ntime.sleep(1e6)"
    )
    store = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{OUTSIDE}:5000", AWS_ALLOW_HTTP="true", AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="somebody",
        AWS_SECRET_ACCESS_KEY="something", NO_PROXY="*", no_proxy="*",
    )  # fmt: skip
    for _ in range(60):
        try:
            request = urllib.request.Request(f"http://{OUTSIDE}:5000/library", method="PUT")
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()
            return store
        except OSError:
            time.sleep(1)
    store.kill()
    raise AssertionError("the object store did not start")


def serve_inside() -> int:
    """On the first host: deploy, and kill a replica when told to on stdin."""
    import ray

    from polyvec.cluster.ray_session import ray_session
    from polyvec.cluster.serving.config import ClusterServeConfig
    from polyvec.cluster.serving.running import deployed
    from tests.cluster.served import kill_replicas

    out, sys.stdout = sys.stdout, sys.stderr  # Ray prints too
    config = ClusterServeConfig(
        collection=BUCKET, replicas=2, ingress_replicas=HOSTS, cpus=0.1, every=2.0,
        http={"host": "0.0.0.0", "port": PORT, "anonymous": True, "log_format": "none"},
    )  # fmt: skip
    with ray_session(os.environ["HEAD"]) as session:
        while len([node for node in ray.nodes() if node["Alive"]]) < HOSTS:
            time.sleep(0.5)
        with deployed(session, config):
            print("ready", file=out, flush=True)
            for line in sys.stdin:
                word, shard = line.split()
                assert word == "kill"
                print(f"{shard}: {kill_replicas(shard)}", file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
