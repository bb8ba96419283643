"""Clients search, others write and delete, and the server is killed at random times: python -m tests.serve.chaos --minutes 10.

Nothing that was acknowledged may be lost, no hit may differ from what a shadow holds, and no answer may be a 5xx but while the
server starts again. Prints what was done, in one line of JSON; ends with 1 where any of this does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

import polyvec
from tests.serve.running import ServerProcess

WORDS = tuple("ant bee cat dog elk fox gnu hen ibis jay koi lynx mole newt owl pig quail rat seal toad".split())  # noqa: SIM905


class Shadow:
    """What has been acknowledged: by id, the version that is stored, None for deleted; and every change since it began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, int | None] = {}
        self.begun: list[tuple[str, int | None]] = []
        self.open: dict[str, int | None] = {}  # changes without an answer yet

    def begin(self, changes: dict[str, int | None]) -> None:
        with self.lock:
            self.begun += changes.items()
            self.open = dict(changes)

    def acknowledged(self, changes: dict[str, int | None]) -> None:
        with self.lock:
            self.known.update(changes)
            self.open = {}

    def look(self) -> tuple[dict[str, set[int | None]], int]:
        """What each id may hold now, and a moment from which `since` goes on."""
        with self.lock:
            held: dict[str, set[int | None]] = {name: {version} for name, version in self.known.items()}
            for name, version in self.open.items():
                held.setdefault(name, {None}).add(version)
            return held, len(self.begun)

    def since(self, name: str, moment: int) -> set[int | None]:
        with self.lock:
            return {version for changed, version in self.begun[moment:] if changed == name}


class Chaos:
    """One run."""

    def __init__(self, path: Path, seconds: float, clients: int, seed: int) -> None:
        self.path, self.end, self.clients = path, time.monotonic() + seconds, clients
        self.random = random.Random(seed)
        self.shadow, self.counts, self.faults = Shadow(), Counter[str](), list[str]()
        self.up = threading.Event()
        self.url = ""

    def run(self) -> None:
        threads = [threading.Thread(target=self._search, args=(number,)) for number in range(self.clients)]
        threads.append(threading.Thread(target=self._write))
        server = self._start()
        for thread in threads:
            thread.start()
        while time.monotonic() < self.end and not self.faults:
            time.sleep(self.random.uniform(1.0, 8.0))
            self.up.clear()
            server.kill()
            self.counts["kills"] += 1
            server = self._start()
        for thread in threads:
            thread.join()
        self._compare_all()
        server.kill()
        with polyvec.Index.open(self.path) as index:
            self.faults += index.verify()

    def _start(self) -> ServerProcess:
        server = ServerProcess(str(self.path), "--port", "0", "--log-format", "none")
        server.wait_until_ready()
        self.url = server.url
        self.up.set()
        return server

    def _ask(self, client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response | None:
        """None where the server was being killed."""
        self.up.wait()
        try:
            answer = client.request(method, f"{self.url}{path}", json=body)
        except httpx.TransportError:
            self.counts["broken off"] += 1
            time.sleep(0.05)
            return None
        self.counts[f"{method} {path} {answer.status_code}"] += 1
        if answer.status_code >= 500 and self.up.is_set():
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def _write(self) -> None:
        chance, version = random.Random(1), 0
        with httpx.Client(timeout=60, trust_env=False) as client:
            while time.monotonic() < self.end and not self.faults:
                version += 1
                names = [f"d{chance.randrange(200)}" for _ in range(chance.randrange(1, 6))]
                deletes = chance.random() < 0.3
                changes: dict[str, int | None] = dict.fromkeys(names, None if deletes else version)
                self.shadow.begin(changes)
                if deletes:
                    answer = self._ask(client, "DELETE", "/v1/documents", {"ids": list(changes)})
                else:
                    answer = self._ask(client, "PUT", "/v1/documents", [document(name, version) for name in changes])
                if answer is None:
                    self._settle(client, changes)
                elif answer.status_code == 200:
                    self.shadow.acknowledged(changes)
                    self._own_writes(client, changes)
                else:
                    self.faults.append(f"a write was refused: {answer.status_code} {answer.text}")

    def _settle(self, client: httpx.Client, changes: dict[str, int | None]) -> None:
        """A write without an answer was done whole, or not at all: see which."""
        while (found := self._read(client, changes)) is None:
            if time.monotonic() > self.end + 60:
                return
        before = {name: self.shadow.known.get(name) for name in changes}
        if found not in (before, changes):
            self.faults.append(f"half a write: {found}, expected {before} or {changes}")
        self.shadow.acknowledged(found)

    def _own_writes(self, client: httpx.Client, changes: dict[str, int | None]) -> None:
        found = self._read(client, changes)
        if found is not None and found != changes:
            self.faults.append(f"its own write is not there: {found}, expected {changes}")

    def _read(self, client: httpx.Client, names: Any) -> dict[str, int | None] | None:
        answer = self._ask(client, "POST", "/v1/documents/get", {"ids": list(names)})
        if answer is None or answer.status_code != 200:
            return None
        documents = answer.json()["documents"]
        return {name: one and one["metadata"]["version"] for name, one in zip(names, documents, strict=True)}

    def _search(self, number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(timeout=60, trust_env=False) as client:
            while time.monotonic() < self.end and not self.faults:
                before, moment = self.shadow.look()
                query = " ".join(chance.sample(WORDS, 3))
                answer = self._ask(client, "POST", "/v1/search", {"query": query, "k": 20})
                if answer is None or answer.status_code != 200:
                    continue
                for hit in answer.json()["results"][0]["hits"]:
                    self._compare(hit, before.get(hit["id"], set()) | self.shadow.since(hit["id"], moment))

    def _compare(self, hit: dict[str, Any], versions: set[int | None]) -> None:
        version = hit["metadata"]["version"]
        if version not in versions:
            self.faults.append(f"{hit['id']} version {version} was found, expected one of {versions}")
        if hit["text"] != document(hit["id"], version)["text"]:
            self.faults.append(f"{hit['id']} has another text: {hit['text']!r}")
        self.counts["hits compared"] += 1

    def _compare_all(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            found = self._read(client, sorted(self.shadow.known))
        if found != self.shadow.known:
            self.faults.append(f"stored is {found}, expected {self.shadow.known}")


def document(name: str, version: int) -> dict[str, Any]:
    """What version of a document says, which its id and version tell."""
    chance = random.Random(f"{name} {version}")
    return {"id": name, "text": " ".join(chance.choices(WORDS, k=12)), "version": version}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wiki.polyvec"
        polyvec.Index.create(path, encoder=polyvec.Encoder()).close()
        chaos = Chaos(path, 60 * options.minutes, options.clients, options.seed)
        chaos.run()
    print(json.dumps({"minutes": options.minutes, **chaos.counts, "faults": chaos.faults}))
    return 1 if chaos.faults else 0


if __name__ == "__main__":
    sys.exit(main())
