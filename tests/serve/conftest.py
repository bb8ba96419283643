"""Servers of small collections, with an encoder that takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import polyvec
from polyvec.serve.collections import open_collections
from polyvec.serve.config import ServeConfig
from tests.conftest import WordEncoder
from tests.serve.running import Running

DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "bees-de",
        "text": "Bienen tanzen, um den Weg zu Blumen zu zeigen.",
        "lang": "de",
        "year": 2001,
        "title": "Bienen",
    },
    {"id": "bees-en", "text": "Bees dance to show the way to flowers.", "lang": "en", "year": 2005},
    {"id": "bread", "text": "Bread is baked in an oven.", "lang": "en", "year": 2010},
    {"id": "a/b c", "text": "An id with a slash and a space.", "lang": "en"},
    {"id": "arabic", "text": "النحل يرقص ليدل على الزهور", "lang": "ar"},
    {"id": "markup", "text": "<script>alert('bees')</script> & more", "lang": "en"},
]

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers of the documents above; other names make more collections, settings are ServeConfig's."""
    yield from _starting(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server of one collection for the tests of a file, which change nothing."""
    for begin in _starting(tmp_path_factory.mktemp("shared")):
        yield begin()


@pytest.fixture
def running(start: Start) -> Running:
    """One server of one collection for one test."""
    return start()


def _starting(folder: Path) -> Iterator[Start]:
    started: list[Running] = []

    def begin(
        *names: str, encoder: Any = None, documents: Any = None, follow: bool = False, **settings: Any
    ) -> Running:
        encoder = encoder or WordEncoder()
        paths = []
        for name in names or ("wiki.polyvec",):
            paths.append(folder / name)
            if not paths[-1].exists():
                with polyvec.Index.create(paths[-1], encoder=encoder) as index:
                    index.add(DOCUMENTS if documents is None else documents)
        config = ServeConfig(**{"log_format": "none", "follow": follow, **settings})
        started.append(Running(open_collections(paths, encoder=encoder, follow=follow), config))
        return started[-1]

    yield begin
    for one in started:
        one.stop()
