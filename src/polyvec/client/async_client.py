"""A collection on a server, for programs with an event loop: the methods of `Client`, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

import numpy.typing as npt

from polyvec.client import calls
from polyvec.client.answers import Problem, result
from polyvec.client.calls import Call
from polyvec.client.connection import Settings, load_httpx, request_arguments, was_sent
from polyvec.client.retries import Tries
from polyvec.data import Document
from polyvec.errors import InputError, StorageError
from polyvec.search.hits import Hit

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from polyvec.collection.searcher import SearchKeywords, VectorSearchKeywords
    from polyvec.index.catalog.field_counts import FieldSummary
    from polyvec.index.writing.report import AddReport, Existing
    from polyvec.search.explain import Explanation

T = TypeVar("T")


class AsyncClient:
    """A collection on a polyvec server, for one event loop. See `Client` for what each method does.

    Hits do not explain themselves here: use `await client.explain(query, hit)`. `len(client)` is `await client.count()`, and
    `id in client` is `await client.contains(id)`.

    Args:
        url: Address of the server, such as http://127.0.0.1:8000.
        token: What the server knows this program by; None where it asks for none.
        collection: Which one to use; None for the only one.
        timeout: Seconds that a call which changes nothing may take, tries after a failure included.
        write_timeout: Seconds that a change may take, from when it is sent.

    Raises:
        InputError: An argument makes no sense. No connection is made yet.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        collection: str | None = None,
        timeout: float = 30.0,
        write_timeout: float = 600.0,
    ) -> None:
        self._settings = Settings(url, token, collection, timeout, write_timeout)
        self._httpx = load_httpx()
        self._http = self._httpx.AsyncClient(headers=self._settings.headers)
        self._facts: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"AsyncClient({self._settings.url!r}, collection={self._settings.collection!r})"

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "An AsyncClient cannot be pickled or copied: it holds connections. Pass its url on, and make another one."
        )

    async def close(self) -> None:
        """Let go of the connections; safe to call twice. Every later call but this one raises StorageError."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def refresh(self) -> None:
        """Nothing: a server always answers from the newest state that it knows."""
        self._check_open()

    # -- what it is ----------------------------------------------------------------------------------------------------

    async def name(self) -> str:
        """What the server calls the collection."""
        return str((await self._described())["name"])

    async def dim(self) -> int:
        """Dimensions of a token vector."""
        return int((await self._described())["dim"])

    async def info(self) -> dict[str, Any]:
        """See `Client.info`."""
        return await self._send(calls.info(await self.name()))

    async def fields(self, *, limit: int = 20) -> dict[str, FieldSummary]:
        """See `Client.fields`."""
        return await self._send(calls.field_counts(await self.name(), limit))

    async def count(self) -> int:
        """How many documents are stored."""
        return int((await self.info())["documents"])

    async def contains(self, document_id: str) -> bool:
        """Whether a document is stored.

        Args:
            document_id: Its id.

        Returns:
            True where it is.

        Raises:
            InputError: It cannot be an id.
        """
        return await self._send(calls.contains(self._settings.collection, document_id))

    # -- searching -----------------------------------------------------------------------------------------------------

    @overload
    async def search(self, query: str, **keywords: Unpack[SearchKeywords]) -> list[Hit]: ...  # type: ignore[overload-overlap]
    @overload
    async def search(self, query: Sequence[str], **keywords: Unpack[SearchKeywords]) -> list[list[Hit]]: ...

    async def search(self, query: str | Sequence[str], **keywords: Any) -> list[Hit] | list[list[Hit]]:
        """See `Client.search`."""
        asked = calls.search(self._settings.collection, query, keywords)
        results = [hits for page in asked.pages for hits in await self._send(page)]
        return results[0] if asked.single else results

    @overload
    async def search_vectors(  # type: ignore[overload-overlap]  # a list of arrays can be read as one array too
        self, query: Sequence[npt.ArrayLike], **keywords: Unpack[VectorSearchKeywords]
    ) -> list[list[Hit]]: ...
    @overload
    async def search_vectors(self, query: npt.ArrayLike, **keywords: Unpack[VectorSearchKeywords]) -> list[Hit]: ...

    async def search_vectors(
        self, query: npt.ArrayLike | Sequence[npt.ArrayLike], **keywords: Any
    ) -> list[Hit] | list[list[Hit]]:
        """See `Client.search_vectors`."""
        dim = await self.dim()
        asked = calls.search_vectors(self._settings.collection, query, keywords, dim=dim)
        results = [hits for page in asked.pages for hits in await self._send(page)]
        return results[0] if asked.single else results

    async def explain(self, query: str, hit: Hit) -> Explanation:
        """See `Client.explain`."""
        return await self._send(calls.explain(self._settings.collection, query, hit))

    async def rerank(
        self,
        query: str,
        documents: Iterable[str | Document | Mapping[str, Any]],
        *,
        k: int | None = None,
        threads: int | None = None,
    ) -> list[Hit]:
        """See `Client.rerank`."""
        call = calls.rerank(self._settings.collection, query, documents, k, threads)
        return [] if call is None else await self._send(call)

    # -- documents -----------------------------------------------------------------------------------------------------

    async def get(self, ids: Iterable[str]) -> list[Document | None]:
        """See `Client.get`."""
        pages = calls.get(self._settings.collection, ids)
        return [document for page in pages for document in await self._send(page)]

    async def scan(
        self, *, filter: Mapping[str, Any] | None = None, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Document]:
        """See `Client.scan`: `async for document in client.scan()`."""
        left: calls.Scan | None = calls.scan(self._settings.collection, filter, after, limit)
        while left is not None:
            found = await self._send(left.page())
            for document in found:
                yield document
            left = left.behind(found)

    # -- writing -------------------------------------------------------------------------------------------------------

    async def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """See `Client.add`."""
        return await self._send(calls.add(self._settings.collection, documents, existing, progress))

    async def update(
        self, documents: Iterable[Document | Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """See `Client.update`."""
        return await self.add(documents, existing="replace", progress=progress)

    async def update_metadata(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """See `Client.update_metadata`."""
        return await self._send(calls.update_metadata(self._settings.collection, changes))

    async def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """See `Client.add_vectors`."""
        dim = await self.dim()
        return await self._send(calls.add_vectors(self._settings.collection, ids, vectors, metadata, existing, dim=dim))

    async def delete(self, ids: Iterable[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """See `Client.delete`."""
        return await self._send(calls.delete(self._settings.collection, ids, filter))

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _described(self) -> dict[str, Any]:
        """Facts of the collection that never change."""
        if not self._facts:
            self._facts = await self._send(calls.described(self._settings.collection))
        return self._facts

    def _check_open(self) -> None:
        if self._http.is_closed:
            raise StorageError(f"{self._settings.url}: the client is closed. Make another one with AsyncClient(url).")

    async def _send(self, call: Call[T]) -> T:
        """Make a call, again where that is safe, until it succeeds or its time is over."""
        self._check_open()
        tries = Tries(call, self._settings.url, self._settings.seconds(call))
        while True:
            try:
                status, retry_after, body = await self._once(call, tries)
            except self._httpx.TransportError as error:
                await asyncio.sleep(tries.after_failure(error, sent=was_sent(error)))
                continue
            if 200 <= status < 300:
                return result(call, body, self._settings.url)
            await asyncio.sleep(tries.after_answer(Problem(status, body), retry_after))

    async def _once(self, call: Call[Any], tries: Tries) -> tuple[int, str | None, bytes]:
        """One try: status, Retry-After and body of the answer."""
        arguments = request_arguments(call, self._settings, tries.left_s())
        if call.lines is not None:
            arguments["content"] = _between_tasks(call.lines())
        async with self._http.stream(**arguments) as answer:
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                tries.left_s()
            return answer.status_code, answer.headers.get("retry-after"), bytes(body)


async def _between_tasks(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts of a stream; other tasks run between two of them."""
    for part in parts:
        yield part
        await asyncio.sleep(0)
