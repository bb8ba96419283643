"""Small indexes, what is in them, and connections that are cut."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvec import Index
from polyvec.publish.store import Store
from tests.conftest import WordEncoder

pytest.importorskip("obstore", reason="publishing needs obstore: pip install 'polyvec[publish]'")

QUERIES = ("tea w3 w17", "w5 w40", "w1 w2 w3 coffee")


def documents(count: int, *, seed: int = 0, first: int = 0, words: int = 12) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {"id": f"d{n}", "text": " ".join(f"w{draw.randrange(300)}" for _ in range(words)), "n": n}
        for n in range(first, first + count)
    ]


def make_index(path: Path, docs: Iterable[dict[str, Any]], encoder: WordEncoder) -> Path:
    with Index.create(path, encoder=encoder) as index:
        index.add(docs)
    return path


def answers(index: Index) -> list[Any]:
    """What searching finds in each mode, and every document: two states with other answers are told apart."""
    found: list[Any] = [sorted((d.id, d.text, str(d.metadata)) for d in index.documents())]
    for query in QUERIES:
        for mode in ("late", "keyword", "hybrid"):
            found.append([(hit.id, hit.score) for hit in index.search(query, k=5, mode=mode)])
    return found


def answers_at(path: Path, encoder: WordEncoder) -> list[Any]:
    with Index.open(path, encoder=encoder) as index:
        assert index.verify() == []
        return answers(index)


@contextlib.contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, number: int, *, answered: bool = False) -> Iterator[list[str]]:
    """Connections that are cut at one request and stay so. answered: the request is done, and its answer lost.

    Gives the requests that were made.
    """
    from obstore.exceptions import GenericError

    seen: list[str] = []
    real = Store._request

    def request(self: Store, what: str, call: Callable[[], Any]) -> Any:
        def cut() -> Any:
            seen.append(what)
            if len(seen) < number:
                return call()
            if answered and len(seen) == number:
                call()
            raise GenericError("connection reset by peer")

        return real(self, what, cut)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_request", request)
        yield seen


def check_large_file(store: Store, path: Path) -> None:
    """A file of 20 MiB goes into the store as files/large and comes back, whole and in ranges."""
    content = bytes(range(256)) * (80 << 10)
    path.write_bytes(content)
    with path.open("rb") as file:
        store.write("files/large", file, len(content))
    assert store.read("files/large") == content
    assert store.read_ranges("files/large", [(0, 3), (5 << 20, (5 << 20) + 300)]) == [
        content[:3],
        content[5 << 20 : (5 << 20) + 300],
    ]
