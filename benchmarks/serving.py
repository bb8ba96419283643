"""What HTTP costs: one search over loopback, throughput against lists in process, and behavior under too much load.

    python benchmarks/serving.py                          # all of it, on the demo corpus
    python benchmarks/serving.py overhead --index I       # or throughput, or overload --seconds 60

The server is a process of its own, and so are the clients: one process of plain sockets, which parses no more than it must.
Prints one JSON line a result, with CPU time of the server and of the clients beside the wall clock, and the machine's load.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import polyvec
from polyvec.demo import build_demo_index, load_demo

PLACES = 32  # requests that a server with two threads accepts at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", default="all", choices=["all", "overhead", "throughput", "overload"])
    parser.add_argument("--index", type=Path, help="the demo corpus where it is left out")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run under load")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--queue", type=int, default=PLACES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.index or Path(folder) / "demo.polyvec"
        demo = load_demo()
        if options.index is None:
            build_demo_index(demo, path, polyvec.Encoder(), lambda n: None).close()
        queries = [query.text for query in demo.queries]
        if options.what in ("all", "overhead"):
            overhead(path, queries)
        if options.what in ("all", "throughput"):
            throughput(path, queries, options.clients, options.seconds)
        if options.what in ("all", "overload"):
            overload(path, queries, options.seconds, options.queue)


# -- the three measurements ---------------------------------------------------------------------------------------------


def overhead(path: Path, queries: list[str], rounds: int = 400) -> None:
    """p50 of one search in process, and of the same search by one client; both in turn, so that they share the machine's mood."""
    with polyvec.Index.open(path) as index, server(path) as (port, _):
        client = Connection(port)
        inside, outside = [], []
        for n in range(rounds):
            query = queries[n % len(queries)]
            started = time.perf_counter()
            hits = index.search(query, k=10)
            inside.append(time.perf_counter() - started)
            request = search_request(query)
            started = time.perf_counter()
            status, body = client.ask(request)
            outside.append(time.perf_counter() - started)
            assert status == 200
            if n == 0:
                assert [hit["id"] for hit in json.loads(body)["results"][0]["hits"]] == [hit.id for hit in hits]
    inside, outside = inside[rounds // 10 :], outside[rounds // 10 :]
    report(
        "overhead",
        in_process_p50_ms=ms(statistics.median(inside)),
        http_p50_ms=ms(statistics.median(outside)),
        overhead_p50_ms=ms(statistics.median(outside) - statistics.median(inside)),
        overhead_of_quartile_ms=ms(quantile(outside, 0.25) - quantile(inside, 0.25)),
    )


def throughput(path: Path, queries: list[str], clients: int, seconds: float) -> None:
    """Searches a second of lists in process; then of as many clients as a list is long, each with one question at a time."""
    with polyvec.Index.open(path) as index:
        index.search(queries[:clients], k=10)
        started, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < seconds:
            at = done % (len(queries) - clients)
            index.search(queries[at : at + clients], k=10)
            done += clients
        inside = done / (time.perf_counter() - started)
        inside_cpu = (time.process_time() - cpu) / done
    with server(path) as (port, process):
        load(port, queries, clients, 2.0)
        found = load(port, queries, clients, seconds, process)
    report(
        "throughput",
        clients=clients,
        in_process_per_s=round(inside, 1),
        in_process_cpu_ms=ms(inside_cpu),
        http_per_s=round(found["per_s"], 1),
        share=round(found["per_s"] / inside, 3),
        **latencies(found["accepted"]),
        server_cpu_ms=ms(found["server_cpu_s"] / max(1, len(found["accepted"]))),
        clients_cpu_ms=ms(found["clients_cpu_s"] / max(1, len(found["accepted"]))),
        refused=len(found["refused"]),
    )


def overload(path: Path, queries: list[str], seconds: float, places: int) -> None:
    """As many clients as the server has places, then four times as many requests a second as it answered then."""
    with server(path, "--queue", str(places)) as (port, process):
        load(port, queries, places, 2.0)
        full = load(port, queries, places, min(seconds, 10.0), process)
        before = process.memory_info().rss
        over = load(port, queries, 4 * places, seconds, process, rate=4 * full["per_s"])
        after = process.memory_info().rss
        time.sleep(1.0)
        alone = load(port, queries, 1, 2.0)
    full_p99, over_p99 = quantile(full["accepted"], 0.99), quantile(over["accepted"], 0.99)
    report(
        "overload",
        seconds=seconds,
        places=places,
        full_per_s=round(full["per_s"], 1),
        full_p99_ms=ms(full_p99),
        asked_per_s=round((len(over["accepted"]) + len(over["refused"])) / seconds, 1),
        accepted_per_s=round(over["per_s"], 1),
        accepted_p99_ms=ms(over_p99),
        p99_ratio=round(over_p99 / full_p99, 2),
        refused=len(over["refused"]),
        refused_p50_ms=ms(quantile(over["refused"], 0.5)),
        refused_p99_ms=ms(quantile(over["refused"], 0.99)),
        refused_max_ms=ms(max(over["refused"], default=0.0)),
        other_answers=over["others"],
        memory_mb=[round(before / 1e6, 1), round(after / 1e6, 1)],
        afterwards_p50_ms=ms(quantile(alone["accepted"], 0.5)),
    )


# -- a server and its clients -------------------------------------------------------------------------------------------


@contextmanager
def server(path: Path, *flags: str) -> Iterator[tuple[int, psutil.Process]]:
    """`polyvec serve` in a process of its own, ready; its port and process."""
    command = [sys.executable, "-m", "polyvec", "serve", str(path), "--port", "0", "--log-format", "none", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    try:
        assert process.stdout is not None
        line = ""
        while "http://" not in line:
            line = process.stdout.readline()
            assert line, "the server ended before it listened"
        port = int(re.search(r":(\d+)\s*$", line)[1])  # type: ignore[index]
        while Connection(port).ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] != 200:
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(40)


def search_request(query: str, k: int = 10) -> bytes:
    body = json.dumps({"query": query, "k": k}).encode()
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    """One connection that is kept open; asks one thing at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.asked_at = 0.0

    def send(self, request: bytes) -> None:
        self.asked_at = time.perf_counter()
        self.socket.sendall(request)

    def take(self) -> tuple[int, bytes] | None:
        """What has arrived: an answer, or None while it is not whole."""
        part = self.socket.recv(1 << 18)
        assert part, "the server closed the connection"
        self.held += part
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.held[:end].lower()
        at = head.find(b"content-length: ") + 16
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else len(head)])
        if len(self.held) < end + 4 + length:
            return None
        body, self.held = self.held[end + 4 : end + 4 + length], self.held[end + 4 + length :]
        return int(head[9:12]), body

    def ask(self, request: bytes) -> tuple[int, bytes]:
        self.send(request)
        while (answer := self.take()) is None:
            pass
        return answer


def load(
    port: int,
    queries: list[str],
    clients: int,
    seconds: float,
    process: psutil.Process | None = None,
    rate: float | None = None,
) -> dict[str, Any]:
    """Ask for some seconds, from a process of its own. rate: requests a second of all clients together; None: without pause."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_clients, args=(theirs, port, queries, clients, seconds, rate))
    child.start()
    ours.recv()
    cpu = process.cpu_times() if process else None
    started = time.perf_counter()
    found = ours.recv()
    found["seconds"] = time.perf_counter() - started
    found["per_s"] = len(found["accepted"]) / found["seconds"]
    if process and cpu:
        now = process.cpu_times()
        found["server_cpu_s"] = now.user + now.system - cpu.user - cpu.system
    child.join()
    return found


def _clients(pipe: Any, port: int, queries: list[str], clients: int, seconds: float, rate: float | None) -> None:
    requests = [search_request(query) for query in queries]
    connections = [Connection(port) for _ in range(clients)]
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    accepted: list[float] = []
    refused: list[float] = []
    others: dict[str, int] = {}
    pipe.send("ready")
    started, cpu, asked = time.perf_counter(), time.process_time(), 0
    idle = deque(connections)  # in turn: a server closes a connection that asks nothing for long
    while True:
        now = time.perf_counter()
        if now - started > seconds and len(idle) == clients:
            break
        while idle and now - started <= seconds and (rate is None or asked < (now - started) * rate):
            idle.popleft().send(requests[asked % len(requests)])
            asked += 1
        for key, _ in selector.select(0.001 if rate else 0.1):
            connection: Connection = key.data
            answer = connection.take()
            if answer is None:
                continue
            took = time.perf_counter() - connection.asked_at
            if answer[0] == 200:
                accepted.append(took)
            elif answer[0] == 429:
                refused.append(took)
            else:
                others[str(answer[0])] = others.get(str(answer[0]), 0) + 1
            idle.append(connection)
    pipe.send({"accepted": accepted, "refused": refused, "others": others, "clients_cpu_s": time.process_time() - cpu})


# -- numbers ------------------------------------------------------------------------------------------------------------


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def latencies(values: list[float]) -> dict[str, float]:
    return {"p50_ms": ms(quantile(values, 0.5)), "p99_ms": ms(quantile(values, 0.99))}


def ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


def report(name: str, **values: Any) -> None:
    print(json.dumps({"what": name, **values, "load": [round(one, 2) for one in os.getloadavg()]}), flush=True)


if __name__ == "__main__":
    main()
