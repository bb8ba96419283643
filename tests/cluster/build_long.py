"""A build of 20,000 documents on three hosts, of which a process and then a host are killed; held against one machine's.

python -m tests.cluster.build_long
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyvec import Encoder, Shards
from polyvec.cluster.building.build import build_shards
from polyvec.collection.build import build_index
from polyvec.data import read_documents
from polyvec.demo import load_demo
from polyvec.publish.published_shards import newest_shards, pull_shards
from tests.cluster.builds import check_same, write_lines
from tests.cluster.machines import MEMORY, machines

DIM, SHARDS = 32, 4


class CountedModel:
    """The default model, which notes in a folder how many texts which process on which host has encoded.

    Args:
        folder: Of the notes.
        threads: That it may use.
    """

    def __init__(self, folder: str, threads: int) -> None:
        import ray

        self._model = Encoder(dim=DIM, threads=threads)
        self._note = Path(folder) / f"{ray.util.get_node_ip_address()}-{os.getpid()}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def stream_documents(self, texts: Any, *, progress: Callable[[int], None] | None = None) -> Iterator[Any]:
        """As `Encoder` has it."""
        for encoded in self._model.stream_documents(texts, progress=progress):
            with self._note.open("a") as note:
                note.write(".")
            yield encoded


class CountedModels:
    """Makes such models, and reads their notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, threads: int) -> Any:
        import ray

        return CountedModel(str(self.folder), threads) if ray.is_initialized() else Encoder(dim=DIM, threads=1)

    def counts(self) -> dict[str, int]:
        """Texts by host and process."""
        return {path.name: path.stat().st_size for path in sorted(self.folder.iterdir())}

    def sampled(self) -> None:
        """Set notes on the sample apart: its processes are gone."""
        for path in self.folder.iterdir():
            path.rename(path.with_name(f"sample-{path.name}"))

    def process_on(self, host: str) -> int | None:
        """The one that encoded last on a host; None where none has yet."""
        notes = [path for path in self.folder.iterdir() if path.name.startswith(f"{host}-")]
        return int(max(notes, key=lambda path: path.stat().st_mtime).name.rsplit("-", 1)[1]) if notes else None


def documents(count: int) -> list[dict[str, Any]]:
    """Stretches of the corpus that ships with polyvec, in its languages; every hundredth is the one before once more."""
    draw = random.Random(7)
    texts = [document.text for document in load_demo().documents]
    made: list[dict[str, Any]] = []
    for number in range(count):
        whole = draw.choice(texts)
        begin = draw.randrange(max(1, len(whole) - 20))
        text = whole[begin : begin + draw.randint(20, 90)].strip() or whole
        made.append({"id": f"doc-{number}", "text": made[-1]["text"] if number % 100 == 99 else text, "n": number})
    return made


@contextmanager
def timed(what: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begin:.0f} s", flush=True)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--documents", type=int, default=20_000)
    count = options.parse_args().documents
    with tempfile.TemporaryDirectory(prefix="polyvec-long-") as name:
        folder = Path(name)
        docs = write_lines(folder / "docs.jsonl", documents(count))
        models = CountedModels(folder / "notes")
        url = (folder / "bucket").as_uri()
        killed: list[str] = []
        with timed("three hosts come up"):
            cluster = machines(1, 1, 1)
            running = cluster.__enter__()
        try:
            with timed("on one machine"):
                one, _ = build_index(
                    read_documents(docs), folder / "one", encoder=Encoder(dim=DIM), nbits=4, source="long"
                )
            lost = next(node for node in running.worker_nodes if node.node_ip_address == "127.0.0.4")

            def progress(what: str, done: int, total: int | None) -> None:
                if what != "encoding":
                    return
                if done == 0:
                    models.sampled()
                process = models.process_on("127.0.0.3")
                if done >= count // 4 and process is not None and not killed:
                    killed.append(f"process {process} at {done:,} documents")
                    os.kill(process, signal.SIGKILL)
                elif done >= count // 2 and len(killed) == 1:
                    killed.append(f"host {lost.node_ip_address} at {done:,} documents")
                    running.remove_node(lost, allow_graceful=False)

            with timed("on three hosts, with two kills"):
                done = build_shards(docs, url, shards=SHARDS, encoder=models, encoders=3, progress=progress)
        finally:
            cluster.__exit__(None, None, None)
        whole = newest_shards(url)
        pull_shards(url, folder / "pulled")
        with Shards.open(folder / "pulled") as shards:
            ids = [document.id for document in shards.documents()]
        exactly_once = ids == [f"doc-{number}" for number in range(count)]
        check_same(folder / "pulled", one, queries=("water", "Der Fluss", "la ville de"))
        one.close()
        counts = models.counts()
        print(
            json.dumps(
                {
                    "documents": done.documents,
                    "tokens": done.tokens,
                    "each exactly once": exactly_once,
                    "codes equal to one machine's": True,
                    "shards": [shard.documents for shard in whole.shards],
                    "killed": killed,
                    "texts encoded, sample and repetitions included": sum(counts.values()),
                    "by host and process": counts,
                    "memory of a host's object store": MEMORY,
                },
                indent=1,
            )
        )
        return 0 if exactly_once and len(killed) == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
