"""A collection on a server, used like an index that is open here."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from polyvec.search.queries import closed_error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from polyvec.collection.searcher import SearchKeywords, VectorSearchKeywords
    from polyvec.index.catalog.field_counts import FieldSummary
    from polyvec.index.writing.report import AddReport, Existing
    from polyvec.search.explain import Explanation

T = TypeVar("T")


class Client:
    """A collection on a polyvec server. Every method is that of `Index`; safe to share between threads.

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
        self._connect()
        self._facts: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Client({self._settings.url!r}, collection={self._settings.collection!r})"

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "A Client cannot be pickled or copied: it holds connections. Pass its url on, and make another one."
        )

    def close(self) -> None:
        """Let go of the connections; safe to call twice. Every later call but this one raises StorageError."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def refresh(self) -> None:
        """Nothing: a server always answers from the newest state that it knows."""
        self._check_open()

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the server calls the collection."""
        return str(self._described()["name"])

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return int(self._described()["dim"])

    def info(self) -> dict[str, Any]:
        """Counts, sizes in bytes, languages, model and codec, as plain JSON values; without the path, which stays the server's.

        Raises:
            IndexMissingError: The server has no such collection.
        """
        return self._send(calls.info(self.name))

    def fields(self, *, limit: int = 20) -> dict[str, FieldSummary]:
        """What the metadata holds, by field; see `Index.fields`."""
        return self._send(calls.field_counts(self.name, limit))

    def __len__(self) -> int:
        return int(self.info()["documents"])

    def __contains__(self, document_id: str) -> bool:
        return self._send(calls.contains(self._settings.collection, document_id))

    # -- searching -----------------------------------------------------------------------------------------------------

    @overload
    def search(self, query: str, **keywords: Unpack[SearchKeywords]) -> list[Hit]: ...  # type: ignore[overload-overlap]
    @overload
    def search(self, query: Sequence[str], **keywords: Unpack[SearchKeywords]) -> list[list[Hit]]: ...

    def search(self, query: str | Sequence[str], **keywords: Any) -> list[Hit] | list[list[Hit]]:
        """The best documents for a question in any language; a list of questions gives a list of lists.

        Args:
            query: One question, or a list of them.
            **keywords: As `Index.search` has them. `threads` is for the server to choose.

        Returns:
            At most k hits, best first; for a list of questions, such a list for each of them.

        Raises:
            InputError: As `Index.search` has it.
            ServerError: The server does not answer in time, or refuses.
        """
        asked = calls.search(self._settings.collection, query, keywords)
        results = [hits for page in asked.pages for hits in self._send(page)]
        for text, hits in zip(asked.queries, results, strict=True):
            for hit in hits:
                hit.explained_by(_Explainer(self, text))
        return results[0] if asked.single else results

    @overload
    def search_vectors(  # type: ignore[overload-overlap]  # a list of arrays can be read as one array too
        self, query: Sequence[npt.ArrayLike], **keywords: Unpack[VectorSearchKeywords]
    ) -> list[list[Hit]]: ...
    @overload
    def search_vectors(self, query: npt.ArrayLike, **keywords: Unpack[VectorSearchKeywords]) -> list[Hit]: ...

    def search_vectors(
        self, query: npt.ArrayLike | Sequence[npt.ArrayLike], **keywords: Any
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a query's token vectors; see `Index.search_vectors`."""
        asked = calls.search_vectors(self._settings.collection, query, keywords, dim=self.dim)
        results = [hits for page in asked.pages for hits in self._send(page)]
        return results[0] if asked.single else results

    def explain(self, query: str, hit: Hit) -> Explanation:
        """Which token of the query met which token of the hit's document, and how well; see `Index.explain`."""
        return self._send(calls.explain(self._settings.collection, query, hit))

    def rerank(
        self,
        query: str,
        documents: Iterable[str | Document | Mapping[str, Any]],
        *,
        k: int | None = None,
        threads: int | None = None,
    ) -> list[Hit]:
        """Order documents by exact MaxSim with the query, with the model of the collection; see `polyvec.rerank`."""
        call = calls.rerank(self._settings.collection, query, documents, k, threads)
        return [] if call is None else self._send(call)

    # -- documents -----------------------------------------------------------------------------------------------------

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The stored documents in the order asked for, None where an id is not stored; see `Index.get`."""
        pages = calls.get(self._settings.collection, ids)
        return [document for page in pages for document in self._send(page)]

    def scan(
        self, *, filter: Mapping[str, Any] | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[Document]:
        """Stored documents in the order of their ids, fetched page by page; see `Index.scan`.

        Each page is read from the state of its moment: what is added meanwhile behind it is met, and what stays is met once.
        """
        pages = calls.scan(self._settings.collection, filter, after, limit)
        self._check_open()
        return self._pages(pages)

    def _pages(self, left: calls.Scan | None) -> Iterator[Document]:
        while left is not None:
            found = self._send(left.page())
            yield from found
            left = left.behind(found)

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Encode and store documents; durable on return, all of them or none.

        Args:
            documents: Any iterable of documents, or of dicts with id, text and any other fields; it is streamed.
            existing: What to do with an id that is stored already: "error", "replace" or "skip".
            progress: Called with the number of documents just sent.

        Returns:
            What was done: documents added, replaced and skipped, tokens stored, documents cut at the model's limit.

        Raises:
            InputError: As `Index.add` has it.
            ServerError: The server does not answer in time, or refuses. After a failure on the way, the sentence says whether the
                change may have been made.
        """
        return self._send(calls.add(self._settings.collection, documents, existing, progress))

    def update(
        self, documents: Iterable[Document | Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """Replace documents by id, and add the ones that are new; durable on return, all of them or none.

        Tried again after a failure, since doing it twice leaves the same documents.

        Args:
            documents: As `add` takes them.
            progress: Called with the number of documents just sent.

        Returns:
            What was done by the last try.

        Raises:
            InputError: As `Index.update` has it.
            ServerError: The server does not answer in time, or refuses.
        """
        return self.add(documents, existing="replace", progress=progress)

    def update_metadata(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Change metadata of stored documents; durable on return, all of it or nothing. See `Index.update_metadata`."""
        return self._send(calls.update_metadata(self._settings.collection, changes))

    def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors of your own, one (t, dim) array an id; durable on return; see `Index.add_vectors`."""
        call = calls.add_vectors(self._settings.collection, ids, vectors, metadata, existing, dim=self.dim)
        return self._send(call)

    def delete(self, ids: Iterable[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id, or by a filter on metadata; durable on return; see `Index.delete`."""
        return self._send(calls.delete(self._settings.collection, ids, filter))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _described(self) -> dict[str, Any]:
        """Facts of the collection that never change."""
        with self._lock:
            if not self._facts:
                self._facts = self._send(calls.described(self._settings.collection))
            return self._facts

    def _connect(self) -> None:
        self._process = os.getpid()
        self._http = self._httpx.Client(headers=self._settings.headers)
        weakref.finalize(self, self._http.close)  # when nobody holds this object any more

    def _check_open(self) -> None:
        if self._http.is_closed:
            raise StorageError(f"{self._settings.url}: the client is closed. Make another one with Client(url).")

    def _send(self, call: Call[T]) -> T:
        """Make a call, again where that is safe, until it succeeds or its time is over."""
        self._check_open()
        if self._process != os.getpid():  # a fork: the connections are those of its parent
            self._connect()
        tries = Tries(call, self._settings.url, self._settings.seconds(call))
        while True:
            try:
                status, retry_after, body = self._once(call, tries)
            except self._httpx.TransportError as error:
                time.sleep(tries.after_failure(error, sent=was_sent(error)))
                continue
            if 200 <= status < 300:
                return result(call, body, self._settings.url)
            time.sleep(tries.after_answer(Problem(status, body), retry_after))

    def _once(self, call: Call[Any], tries: Tries) -> tuple[int, str | None, bytes]:
        """One try: status, Retry-After and body of the answer."""
        arguments = request_arguments(call, self._settings, tries.left_s())
        if call.lines is not None:
            arguments["content"] = call.lines()
        with self._http.stream(**arguments) as answer:
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                tries.left_s()
            return answer.status_code, answer.headers.get("retry-after"), bytes(body)


class _Explainer:
    """Explains the hits of one question while their client is open. It does not keep the client."""

    def __init__(self, client: Client, query: str) -> None:
        self._client, self._query = weakref.ref(client), query

    def __call__(self, hit: Hit) -> Explanation:
        client = self._client()
        if client is None or client._http.is_closed:
            raise closed_error(hit)
        return client.explain(self._query, hit)
