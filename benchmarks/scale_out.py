"""Beyond one machine: what a larger collection takes, by costs that were measured, and whether that holds where it can be tried.

    python benchmarks/scale_out.py check       # three nodes on this machine: measured beside simulated; needs polyvec[ray]
    python benchmarks/scale_out.py plan        # a table for 100 million and 10 billion token vectors

`check` serves the demo corpus in 1, 2 and 4 shards from three Ray nodes of this machine. It measures one shard's search without
Ray, empty calls through Ray, and whole searches, alone and at a steady rate; the simulation gets the first two, and is held
against the third. Prints one JSON line a result, with the machine's load.

`plan` takes costs a token from docs/benchmarks.md (below), and Ray's cost of a call from `check`. Prices are an assumption.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.shards.routing import MOST_ROWS, MOST_SHARDS

Floats = npt.NDArray[np.float64]

# docs/benchmarks.md, "Building and size" and "Growth": two cores of a Xeon with AVX-512, 128 dimensions.
BYTES_A_TOKEN = {4: 73.0, 2: 40.0, 1: 24.0}  # all files
# One thread, 4 bits: the largest collection that was measured, and how the time grows with tokens.
SEARCH_MS, SEARCHED_TOKENS, SEARCH_EXPONENT = 7.18, 23.7e6, 0.28
INDEX_TOKENS_S = 23_716_658 / 195.1 / 2  # a second and core, vectors given
ENCODE_TOKENS_S = 28_500 / 2  # a second and core
BUILD_BYTES_A_TOKEN = (14_727e6 - 2_925e6) / (
    23_716_658 - 4_104_947
)  # peak memory, from 100,000 to 1,000,000 documents

# Assumptions: a machine of today's clouds, and what one costs.
CORES, MEMORY_BYTES, DOLLARS_AN_HOUR = 16, 128e9, 1.06
FOR_FILES = 0.75  # of the memory; pages of files that do not fit are read from disk again and again
BUSY = 0.5  # of the cores at the rate that is planned for
TOKENS_A_DOCUMENT = 100


# -- simulation --------------------------------------------------------------------------------------------------------------


def simulated(
    shards: int,
    service_s: Floats,
    calls_s: Floats,
    *,
    rate: float,
    replicas: int = 2,
    at_once: int = 1,
    queries: int = 20_000,
    seed: int = 0,
) -> Floats:
    """Seconds from question to merged answer.

    Every shard is asked at once and the slowest decides. A shard's replica works on `at_once` queries, and the one that is free
    first takes the next. Neither hedging nor a cache of results is in it.

    service_s: measured times of one shard's search · calls_s: of empty calls to all shards at once; both are drawn from at random ·
    rate: queries a second; 0: one after another.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, queries)) if rate else np.arange(queries) * 1e6
    service = rng.choice(service_s, (queries, shards))
    calls = rng.choice(calls_s, queries)
    free = np.zeros((shards, replicas * at_once))
    every, waits = np.arange(shards), np.empty(queries)
    for n in range(queries):
        server = free.argmin(axis=1)
        begun = np.maximum(arrivals[n] + calls[n] / 2, free[every, server])
        free[every, server] = begun + service[n]
        waits[n] = (begun + service[n]).max() + calls[n] / 2 - arrivals[n]
    return waits


def ms(seconds: Floats) -> dict[str, float]:
    """Median and 99th percentile, in ms."""
    return {
        "p50_ms": round(1000 * float(np.median(seconds)), 2),
        "p99_ms": round(1000 * float(np.quantile(seconds, 0.99)), 2),
    }


# -- three nodes of this machine ---------------------------------------------------------------------------------------------


def check(arguments: argparse.Namespace) -> None:
    """Measure, simulate, and print both."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", OMP_NUM_THREADS="1")
    import polyvec
    from polyvec.demo import build_demo_index, load_demo
    from polyvec.shards.splitting import split_index

    demo, encoder = load_demo(), polyvec.Encoder()
    with tempfile.TemporaryDirectory(prefix="polyvec-scale-") as folder, three_nodes():
        index = Path(folder) / "demo.polyvec"
        build_demo_index(demo, index, encoder, lambda done: None).close()
        vectors = [one.vectors for one in encoder.stream_queries([one.text for one in demo.queries])]
        for count in (1, 2, 4):
            place = Path(folder) / f"shards-{count}"
            split_index(index, place, shards=count)
            measure(place, count, vectors, arguments)


def measure(place: Path, count: int, vectors: list[Any], arguments: argparse.Namespace) -> None:
    """One number of shards."""
    service_s = local_times(place, vectors)
    with deployed(place) as collection:
        calls = collection._session.version
        for query in vectors[:20]:
            collection.search_vectors(query)
        every = dict.fromkeys(range(count), ([],))
        calls_s = np.array([timed(lambda: calls.each("documents_with", every)) for _ in range(arguments.queries)])
        asked = [vectors[n % len(vectors)] for n in range(arguments.queries)]
        alone_s = np.array([timed(lambda one=one: collection.search_vectors(one)) for one in asked])
        rate = arguments.share / float(np.median(alone_s))
        steady_s = at_rate(collection, vectors, rate, arguments.queries)
    load = round(os.getloadavg()[0], 1)
    said = {"shards": count, "nodes": 3, "replicas": 2, "load": load}
    print(json.dumps({**said, "what": "one shard, without Ray", **ms(service_s)}))
    print(json.dumps({**said, "what": "empty calls to all shards at once", **ms(calls_s)}), flush=True)
    for what, measured, times in (("alone", alone_s, 0.0), ("at a rate", steady_s, rate)):
        expected = simulated(count, service_s, calls_s, rate=times)
        told = {"rate": round(times, 1)} if times else {}
        print(
            json.dumps({**said, "what": what, **told, "measured": ms(measured), "simulated": ms(expected)}), flush=True
        )


def timed(work: Any) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def local_times(place: Path, vectors: list[Any]) -> Floats:
    """Seconds of one query to one shard, as a replica answers it, in this process."""
    from polyvec.cluster.serving.held import HeldShard
    from polyvec.cluster.serving.place import collection_at_address
    from polyvec.cluster.serving.question import Call, Question

    held = HeldShard(str(place), collection_at_address(str(place)).names[0], place)
    held.look()
    label = held.labels[0]
    calls = [Call("search", label, (Question({"k": 10}, vectors=one, documents=10),)) for one in vectors]
    for call in calls:
        held.answer(call)
    times = np.array([timed(lambda c=call: held.answer(c)) for _ in range(5) for call in calls])
    held.close()
    return times


def at_rate(collection: Any, vectors: list[Any], rate: float, queries: int) -> Floats:
    """Seconds of queries that come at random moments, whether those before are done or not."""
    gaps = np.random.default_rng(1).exponential(1 / rate, queries)
    waits = np.zeros(queries)
    due = time.perf_counter()

    def ask(n: int, moment: float) -> None:
        collection.search_vectors(vectors[n % len(vectors)])
        waits[n] = time.perf_counter() - moment

    threads = []
    for n, gap in enumerate(gaps):
        due += gap
        time.sleep(max(0.0, due - time.perf_counter()))
        threads.append(threading.Thread(target=ask, args=(n, due)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return waits


@contextmanager
def three_nodes() -> Iterator[None]:
    """A Ray cluster on this machine."""
    from ray.cluster_utils import Cluster

    from polyvec.cluster.ray_session import ray_session

    cluster = Cluster()
    try:
        for number in range(3):
            more = {} if number else {"include_dashboard": False}
            cluster.add_node(
                num_cpus=8, object_store_memory=80_000_000, node_ip_address=f"127.0.0.{number + 2}", **more
            )
        with ray_session(cluster.address):
            yield
    finally:
        cluster.shutdown()


@contextmanager
def deployed(place: Path) -> Iterator[Any]:
    """The collection that asks the shards, in this process: without HTTP and without encoding."""
    from ray import serve

    from polyvec.cluster.serving.collection import ClusterCollection
    from polyvec.cluster.serving.config import APP
    from polyvec.cluster.serving.place import collection_at_address
    from polyvec.cluster.serving.serve import RayLine, build
    from polyvec.cluster.serving.session import ClusterSession

    serve.start(proxy_location="Disabled")
    serve.run(build({"collection": str(place), "ingress_replicas": 1, "cpus": 0.1}), name=APP, route_prefix=None)
    session = ClusterSession(
        "demo",
        lambda: collection_at_address(str(place)),
        lambda name: RayLine(serve.get_deployment_handle(name, app_name=APP)),
    )
    with contextlib.closing(ClusterCollection(session)) as collection:
        yield collection
    serve.delete(APP)


# -- a plan ------------------------------------------------------------------------------------------------------------------


def plan(arguments: argparse.Namespace) -> None:
    """A table of Markdown."""
    columns = [Plan(tokens, bits, arguments) for tokens in (100e6, 10e9) for bits in (4, 2)]
    rows = [one.rows() for one in columns]
    print("| | " + " | ".join(f"{one.tokens / 1e6:,.0f} M, {one.bits} bits" for one in columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for name in rows[0]:
        print(f"| {name} | " + " | ".join(one[name] for one in rows) + " |")


class Plan:
    """What one collection takes."""

    def __init__(self, tokens: float, bits: int, arguments: argparse.Namespace) -> None:
        self.tokens, self.bits, self._arguments = tokens, bits, arguments
        self.documents = tokens / TOKENS_A_DOCUMENT
        self.most_shards = min(
            MOST_SHARDS, int(MOST_ROWS // (2 * self.documents))
        )  # every document may be replaced once
        self.size_bytes = tokens * BYTES_A_TOKEN[bits]
        fit = MEMORY_BYTES * FOR_FILES
        self.shards = max(1, min(self.most_shards, math.ceil(self.size_bytes / fit * 2)))  # two shards a machine
        self.service_s = SEARCH_MS / 1000 * (tokens / self.shards / SEARCHED_TOKENS) ** SEARCH_EXPONENT
        for_memory = math.ceil(arguments.replicas * self.size_bytes / fit)
        for_work = math.ceil(arguments.rate * self.shards * self.service_s / (CORES * BUSY))
        self.nodes = max(for_memory, for_work, arguments.replicas + 1)

    def rows(self) -> dict[str, str]:
        """Cells by name."""
        arguments, nodes = self._arguments, self.nodes
        most = arguments.call_p50_ms + arguments.more_p50_ms * (self.shards - 1)
        calls = np.exp(np.random.default_rng(3).normal(math.log(most), self._spread(), 20_000)) / 1000
        service = self.service_s * np.random.default_rng(4).lognormal(0, 0.3, 20_000)
        at_once = max(1, CORES * nodes // (self.shards * arguments.replicas))
        options = {"replicas": arguments.replicas, "at_once": at_once}
        waits = ms(simulated(self.shards, service, calls, rate=arguments.rate, **options))
        cores = CORES * nodes
        hours = self.tokens / ENCODE_TOKENS_S / cores / 3600, self.tokens / INDEX_TOKENS_S / cores / 3600
        return {
            f"documents of {TOKENS_A_DOCUMENT} tokens": f"{self.documents / 1e6:,.0f} M",
            "files, one copy": f"{self.size_bytes / 1e9:,.1f} GB",
            f"files, {arguments.replicas} copies in memory": f"{arguments.replicas * self.size_bytes / 1e9:,.0f} GB",
            "shards": f"{self.shards} (at most {self.most_shards})",
            f"machines of {CORES} cores and {MEMORY_BYTES / 1e9:.0f} GB": f"{nodes}",
            f"dollars a month, at {DOLLARS_AN_HOUR:.2f} an hour": f"{nodes * DOLLARS_AN_HOUR * 730:,.0f}",
            "one shard's search": f"{1000 * self.service_s:.1f} ms",
            "ingress processes": f"{math.ceil(arguments.rate * most / 1000 / BUSY)}",
            f"p50 / p99 at {arguments.rate:g} queries a second": f"{waits['p50_ms']:.0f} / {waits['p99_ms']:.0f} ms",
            "encoding all documents": _duration(hours[0]),
            "coding and writing": _duration(hours[1]),
            "memory to build one shard": f"{self.tokens / self.shards * BUILD_BYTES_A_TOKEN / 1e9:,.0f} GB",
        }

    def _spread(self) -> float:
        """Of a lognormal with the measured median and 99th percentile."""
        return math.log(self._arguments.call_p99_ms / self._arguments.call_p50_ms) / 2.326


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["check", "plan"])
    parser.add_argument("--queries", type=int, default=300, help="Of check: for each measurement.")
    parser.add_argument(
        "--share", type=float, default=0.5, help="Of check: the steady rate, as a share of one after another."
    )
    parser.add_argument("--rate", type=float, default=50.0, help="Of plan: queries a second.")
    parser.add_argument("--replicas", type=int, default=2, help="Of plan.")
    parser.add_argument("--call-p50-ms", type=float, default=4.4, help="Of plan: an empty call, as check measures it.")
    parser.add_argument("--more-p50-ms", type=float, default=2.7, help="Of plan: for each further shard.")
    parser.add_argument("--call-p99-ms", type=float, default=7.7, help="Of plan.")
    arguments = parser.parse_args()
    {"check": check, "plan": plan}[arguments.what](arguments)


if __name__ == "__main__":
    main()
