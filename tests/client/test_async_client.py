"""The asynchronous client: what `Client` gives, awaited."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from polyvec import AsyncClient, Client, Index
from polyvec.client import retries
from polyvec.errors import FilterError, InputError, ServerError, StorageError
from tests.client.scripted import CUT, problem, scripted
from tests.conftest import WordEncoder
from tests.serve.in_thread import served

DOCUMENTS = [
    {"id": "bees", "text": "Bees dance to tell where flowers are", "title": "Bees", "lang": "en", "year": 2001},
    {"id": "abejas", "text": "Las abejas bailan donde hay flowers", "lang": "es", "year": 1999},
    {"id": "moon", "text": "The moon is far away from flowers", "lang": "en"},
]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "nature.polyvec"
    with Index.create(path, encoder=WordEncoder()) as index:
        index.add(DOCUMENTS)
    with served([path], encoder=WordEncoder()) as address:
        yield address


def _run(url: str, use: Callable[[AsyncClient], Awaitable[None]], **arguments: Any) -> None:
    async def run() -> None:
        async with AsyncClient(url, **arguments) as client:
            await use(client)

    asyncio.run(run())


def test_reading_is_that_of_the_client(url: str) -> None:
    vectors = np.random.default_rng(1).standard_normal((3, 16))

    async def use(client: AsyncClient) -> None:
        with Client(url) as other:
            assert await client.search("bees flowers", k=2) == other.search("bees flowers", k=2)
            assert await client.search(["bees", "moon"], k=1) == other.search(["bees", "moon"], k=1)
            assert await client.search([]) == []
            assert await client.search_vectors(vectors) == other.search_vectors(vectors)
            (hit,) = await client.search("dance", k=1)
            assert await client.explain("dance", hit) == other.explain("dance", hit)
            assert await client.rerank("bees", ["moon", "bees"]) == other.rerank("bees", ["moon", "bees"])
            assert await client.rerank("bees", []) == []
            assert await client.get(["moon", "sun"]) == other.get(["moon", "sun"])
            assert [document async for document in client.scan(limit=2)] == list(other.scan(limit=2))
            assert await client.fields() == other.fields()
            assert await client.info() == other.info()
            assert await client.count() == len(other) == 3
            assert await client.contains("moon")
            assert not await client.contains("sun")
            assert (await client.name(), await client.dim()) == (other.name, other.dim)
            await client.refresh()

    _run(url, use)


def test_writing(url: str) -> None:
    async def use(client: AsyncClient) -> None:
        assert (await client.add(iter([{"id": "sun", "text": "The sun"}]))).added == 1
        assert (await client.update([{"id": "sun", "text": "A sun"}])).replaced == 1
        assert await client.update_metadata({"sun": {"lang": "en"}}) == 1
        assert await client.delete(filter={"lang": "en"}) == 3
        assert await client.delete(["abejas", "none"]) == 1
        report = await client.add_vectors(["v"], [np.ones((2, 16))], metadata=[{"a": 1}])
        assert report.added == 1
        assert await client.count() == 1

    _run(url, use)


def test_errors_are_those_of_an_index(url: str) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(InputError, match="k=0: expected a whole number of hits"):
            await client.search("a", k=0)
        with pytest.raises(FilterError, match=r"unknown operator '\$foo'"):
            await client.delete(filter={"$foo": 1})
        with pytest.raises(InputError, match="'bees'"):
            await client.add(DOCUMENTS)
        (hit,) = await client.search("dance", k=1)
        with pytest.raises(InputError, match=r"Use index\.explain\(query, hit\)"):
            hit.explain()
        with pytest.raises(InputError, match="cannot be pickled or copied"):
            copy.copy(client)

    _run(url, use)


def test_many_at_once(url: str) -> None:
    async def use(client: AsyncClient) -> None:
        found = await asyncio.gather(*(client.search("bees flowers", k=1) for _ in range(50)))
        assert {hits[0].id for hits in found} == {"bees"}

    _run(url, use)


def test_a_closed_client_says_so(url: str) -> None:
    async def run() -> None:
        client = AsyncClient(url)
        await client.search("bees")
        await client.close()
        await client.close()
        with pytest.raises(StorageError, match="the client is closed"):
            await client.search("bees")

    asyncio.run(run())


def test_it_tries_again_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.001)
    found = (200, {"results": [{"query": "a", "hits": []}]}, {})

    async def use(client: AsyncClient) -> None:
        assert await client.search("a") == []

    with scripted(CUT, (429, problem("queue-full", 429), {}), found) as script:
        _run(script.url, use)
        assert len(script.asked) == 3

    async def add(client: AsyncClient) -> None:
        with pytest.raises(ServerError, match="It may have been done"):
            await client.add([{"id": "1", "text": "a"}])

    with scripted(CUT) as script:
        _run(script.url, add)
        assert len(script.asked) == 1


def test_it_has_every_method_of_the_client() -> None:
    wanted = {name for name in vars(Client) if not name.startswith("_")}
    assert wanted - set(vars(AsyncClient)) == set()
