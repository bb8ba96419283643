"""Documents to build shards of, a build without Ray, and what a build is held against."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Index, Shards
from polyvec.cluster.building import build
from polyvec.cluster.building.encoding import BlockEncoder, MakeEncoder
from polyvec.cluster.building.tasks import Pool
from polyvec.collection.build import build_index
from polyvec.data import read_documents
from polyvec.index.reader import SEGMENT_FOLDER
from tests.conftest import WordEncoder

pytest.importorskip("obstore", reason="building on a cluster needs obstore: pip install 'polyvec[ray]'")

QUERIES = ("w3 w17", "w5 w40 w2", "w1 w2 w3 w250")


def rows(count: int, *, seed: int = 0, words: int = 30) -> list[dict[str, Any]]:
    """Documents of different lengths, some of them equal but for their ids."""
    draw = random.Random(seed)
    texts = [" ".join(f"w{draw.randrange(300)}" for _ in range(draw.randint(1, words))) for _ in range(count)]
    return [
        {"id": f"d{seed}-{n}", "text": texts[n - 1 if n % 10 == 9 else n], "n": n, "tags": ["a", None, 1.5]}
        for n in range(count)
    ]


def write_lines(path: Path, documents: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in documents), encoding="utf-8")
    return path


def words(threads: int) -> WordEncoder:
    """The encoder of these builds."""
    return WordEncoder()


class Killed(BaseException):
    """Stands for the end of the process."""


class Here:
    """Takes the place of Ray: every task runs in this process, one after another.

    Attributes:
        done: What was done, in order.
        cut: Called before each task; may raise.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.cut: Callable[[str], None] = lambda what: None

    @contextlib.contextmanager
    def session(self, address: str | None = None) -> Iterator[Any]:
        self.begin("session")
        yield None

    def each(
        self, ray: Any, function: Callable[..., dict[str, Any]], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, one in reversed(list(enumerate(arguments))):  # no order is promised
            self.begin(function.__name__)
            yield number, through_json(function(*one))

    def encoded(
        self,
        ray: Any,
        tasks: Sequence[Mapping[str, Any]],
        pool: Pool,
        url: str,
        plan: Mapping[str, Any],
        make: MakeEncoder,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        encoders = [BlockEncoder(url, plan, make, 1) for _ in range(2)]
        for number, task in reversed(list(enumerate(tasks))):
            self.begin(task["do"])
            yield number, through_json(encoders[number % 2].run(through_json(task)))

    def kill_at(self, step: str) -> None:
        """Let the process end as soon as such a task begins."""

        def cut(what: str) -> None:
            if what == step:
                raise Killed(what)

        self.cut = cut

    def begin(self, what: str) -> None:
        self.cut(what)
        self.done.append(what)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    made = Here()
    monkeypatch.setattr(build, "need_ray", lambda: None)
    monkeypatch.setattr(build, "ray_session", made.session)
    monkeypatch.setattr(build, "pool_of", lambda ray, encoders: Pool(2, 1, 0))
    monkeypatch.setattr(build, "each", made.each)
    monkeypatch.setattr(build, "encoded", made.encoded)
    return made


def check_same_as_one_machine(shards_path: Path, docs: Path, scratch: Path, *, nbits: int = 4) -> None:
    """Every document once, with the codes and the rows that an index of all of them has, and the same answers."""
    one, _ = build_index(
        read_documents(docs, warn=False), scratch / "one.polyvec", encoder=WordEncoder(), nbits=nbits, source="test"
    )
    check_same(shards_path, one)
    one.close()


def check_same(shards_path: Path, one: Index, *, queries: Sequence[str] = QUERIES) -> None:
    """Shards against an open index of the same documents."""
    with Shards.open(shards_path, encoder=one.encoder) as shards:
        assert shards.verify() == []
        assert [(d.id, d.text, d.metadata) for d in shards.documents()] == [
            (d.id, d.text, d.metadata) for d in one.documents()
        ]
        assert codec_files(shards_path) == codec_files(one.path)
        assert stored_codes(shards._session.sessions) == stored_codes([one._session])
        for query in queries:
            for mode in ("late", "keyword", "hybrid"):
                found = [(hit.id, hit.score) for hit in shards.search(query, k=20, mode=mode, exact=True)]
                right = [(hit.id, hit.score) for hit in one.search(query, k=20, mode=mode, exact=True)]
                assert [hit[0] for hit in found] == [hit[0] for hit in right]
                assert [hit[1] for hit in found] == pytest.approx([hit[1] for hit in right], abs=1e-9)
        info, right_info = shards.info(), one.info()
        for name in ("documents", "tokens", "truncated_documents", "nbits", "dim"):
            assert info[name] == right_info[name]
        if info["codec"] is not None:
            for name in ("centroids", "trained_on_tokens", "error", "drift"):
                assert info["codec"][name] == right_info["codec"][name]


def codec_files(path: Path) -> set[bytes]:
    """The contents of all codecs below a folder: one, where all are the same."""
    return {file.read_bytes() for file in path.rglob(f"{SEGMENT_FOLDER}/*.codec")}


def stored_codes(sessions: Sequence[Any]) -> dict[str, tuple[bytes, ...]]:
    """What is stored of every document's token vectors, by id: codes to the bit, or fp16 vectors."""
    found: dict[str, tuple[bytes, ...]] = {}
    for session in sessions:
        with session.current() as view:
            ids = {document.row: document.id for document in view.catalog.all_documents()}
            for live in view.snapshot.segments:
                for position, row in enumerate(live.rows.tolist()):
                    codes = live.segment.codes(np.array([position], np.int64), view.snapshot.codec_checksum)
                    identifier = ids.pop(row)
                    assert identifier not in found
                    if codes is None:
                        found[identifier] = (live.segment.decode(position).tobytes(),)
                    else:
                        found[identifier] = (codes.centroids.tobytes(), codes.scales.tobytes(), codes.packed.tobytes())
            assert not ids
    return found
