"""What each method of an index becomes over HTTP: arguments -> a request, and the JSON of its answer -> what the method returns.

Arguments are checked here as an index checks them, so a mistake has the same sentence and costs no request. Sends nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar, get_args
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, list_of, one_of, shown, thread_count, whole_number
from polyvec.client.options import checked_filter, chosen_options, option_fields
from polyvec.client.results import documents_of, explanation_of, report_of, reranked, results_of, summaries_of
from polyvec.collection.arrivals import DocumentWithVectors, paired_vectors, query_texts
from polyvec.data import Document, as_documents
from polyvec.data.document import checked_id, checked_ids
from polyvec.data.metadata import checked_metadata
from polyvec.data.text import checked_query
from polyvec.errors import InputError
from polyvec.index.catalog.field_counts import FieldSummary
from polyvec.index.engine.options import SearchOptions
from polyvec.index.writing.report import AddReport, Existing
from polyvec.index.writing.vectors import checked_vectors, query_arrays
from polyvec.search.explain import Explanation
from polyvec.search.hits import Hit

T = TypeVar("T")

PAGE = 1000  # documents, or ids, of one request
_QUERIES = 64  # of one request
_CHUNK_BYTES = 1 << 16  # of a stream of documents, sent at once


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how to read its answer.

    Args:
        method: Of HTTP.
        path: Below the server's address.
        read: Makes the result of the answer's JSON.
        params: Of the query string.
        body: In JSON.
        lines: Makes the stream of documents to send, once a try.
        safe: Whether doing it twice is as good as doing it once.
        again: Whether it can be sent again at all: a stream that is used up cannot.
        writes: Whether it changes the collection.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    lines: Callable[[], Iterator[bytes]] | None = None
    safe: bool = True
    again: bool = True
    writes: bool = False


@dataclass(frozen=True)
class Asked:
    """A search as requests.

    Args:
        queries: The questions; "" for each that is token vectors.
        pages: Some queries each; the hits of all of them, in order, are the result.
        single: Whether one query was asked, and not a list.
    """

    queries: list[str]
    pages: list[Call[list[list[Hit]]]]
    single: bool


# -- searching ---------------------------------------------------------------------------------------------------------


def search(collection: str | None, query: str | Sequence[str], keywords: Mapping[str, Any]) -> Asked:
    """`Index.search`."""
    options = option_fields(chosen_options("search", keywords, [one.name for one in fields(SearchOptions)]))
    texts, single = query_texts(query)
    return Asked(texts, _query_pages("/v1/search", collection, "query", texts, options), single)


def search_vectors(
    collection: str | None, query: npt.ArrayLike | Sequence[npt.ArrayLike], keywords: Mapping[str, Any], *, dim: int
) -> Asked:
    """`Index.search_vectors`."""
    known = ["k", "filter", "subset", "min_score", "exact", "recall", "nprobe", "candidates"]
    options = option_fields(chosen_options("search_vectors", keywords, known))
    arrays, single = query_arrays(query)
    vectors = [_packed(checked_vectors(one, dim=dim, name=f"query {i}")) for i, one in enumerate(arrays)]
    pages = _query_pages("/v1/search-vectors", collection, "vectors", vectors, options)
    return Asked([""] * len(vectors), pages, single)


def explain(collection: str | None, query: str, hit: Hit) -> Call[Explanation]:
    """`Index.explain`."""
    if not isinstance(query, str) or not isinstance(hit, Hit):
        raise InputError(
            f"explain({type(query).__name__}, {type(hit).__name__}): expected the query's text and a Hit of a search."
        )
    found = {"id": hit.id, "text": hit.text, "metadata": hit.metadata}
    return _post("/v1/explain", _in(collection, {"query": query, "hit": found}), explanation_of)


def rerank(
    collection: str | None,
    query: str,
    documents: Iterable[str | Document | Mapping[str, Any]],
    k: int | None,
    threads: int | None,
) -> Call[list[Hit]] | None:
    """`polyvec.rerank`, with the model of the collection; None where there is nothing to order."""
    query = checked_query(query, "query")
    if k is not None:
        k = whole_number("k", k, of="hits")
    thread_count(threads, lambda: 1)
    items = enumerate(list_of("documents", documents))
    given = list(as_documents({"id": i, "text": d} if isinstance(d, str) else d for i, d in items))
    if not given:
        return None
    seen: set[str] = set()
    for document in given:
        if document.id in seen:
            raise InputError(f"Document id {document.id!r} comes twice. Give each document once.")
        seen.add(document.id)
    body = {"query": query, "documents": [document.encoded_text for document in given], "top_n": k}

    def read(answer: Any) -> list[Hit]:
        found = enumerate(answer["results"], start=1)
        return [reranked(given[row["index"]], row, rank) for rank, row in found]

    return _post("/v1/rerank", _in(collection, body), read)


# -- reading -----------------------------------------------------------------------------------------------------------


def get(collection: str | None, ids: Iterable[str]) -> list[Call[list[Document | None]]]:
    """`Index.get`, in pages."""
    wanted = list(checked_ids("ids", ids))
    return [
        _post("/v1/documents/get", _in(collection, {"ids": wanted[at : at + PAGE]}), documents_of)
        for at in range(0, len(wanted), PAGE)
    ]


def contains(collection: str | None, document_id: str) -> Call[bool]:
    """`document_id in index`."""
    wanted = checked_id(document_id, "`in`")
    return _post(
        "/v1/documents/get", _in(collection, {"ids": [wanted]}), lambda answer: documents_of(answer)[0] is not None
    )


@dataclass(frozen=True)
class Scan:
    """`Index.scan`, page by page."""

    collection: str | None
    filter: Mapping[str, Any] | None = None
    after: str | None = None
    limit: int | None = None

    def page(self) -> Call[list[Document]]:
        """The next documents."""
        body = {
            "filter": self.filter,
            "after": self.after,
            "limit": min(PAGE, PAGE if self.limit is None else self.limit),
        }
        return _post(
            "/v1/documents/scan", _in(self.collection, body), lambda answer: list(filter(None, documents_of(answer)))
        )

    def behind(self, found: list[Document]) -> Scan | None:
        """What is left after a page; None where that was the last one."""
        left = None if self.limit is None else self.limit - len(found)
        if left == 0 or len(found) < PAGE:
            return None
        return replace(self, after=found[-1].id, limit=left)


def scan(collection: str | None, filter: Mapping[str, Any] | None, after: str | None, limit: int | None) -> Scan:
    """`Index.scan`."""
    checked = None if filter is None else checked_filter(filter)
    after = None if after is None else checked_id(after, "after")
    if limit is not None:
        limit = whole_number("limit", limit, of="documents")
    return Scan(collection, checked, after, limit)


def described(collection: str | None) -> Call[dict[str, Any]]:
    """The facts of a collection, or of the only one."""

    def only(answer: Any) -> dict[str, Any]:
        found = answer["collections"]
        if len(found) != 1:
            names = ", ".join(str(one["name"]) for one in found)
            raise InputError(f"collection is missing: expected one of {names}, as in Client(url, collection=...).")
        return dict(found[0])

    return Call("GET", "/v1/collections", only) if collection is None else info(collection)


def info(name: str) -> Call[dict[str, Any]]:
    """`Index.info`."""

    def facts(answer: Any) -> dict[str, Any]:
        return {name: value for name, value in answer.items() if name != "fields"}

    return Call("GET", f"/v1/collections/{quote(name, safe='')}", facts)


def field_counts(name: str, limit: int) -> Call[dict[str, FieldSummary]]:
    """`Index.fields`."""
    limit = whole_number("limit", limit, of="values")
    return Call("GET", f"/v1/collections/{quote(name, safe='')}/fields", summaries_of, params={"limit": str(limit)})


# -- writing -----------------------------------------------------------------------------------------------------------


def add(
    collection: str | None,
    documents: Iterable[Document | Mapping[str, Any]],
    existing: Existing,
    progress: Callable[[int], None] | None,
) -> Call[AddReport]:
    """`Index.add`; the documents are streamed."""
    one_of("existing", existing, get_args(Existing))
    function("progress", progress)
    checked = list_of("documents", documents)

    def lines() -> Iterator[bytes]:
        given = ({"id": d.id, "text": d.text, "metadata": d.metadata} for d in as_documents(checked))
        return _chunks(given, progress)

    return Call(
        "PUT",
        "/v1/documents",
        report_of,
        params=_named(collection, existing=existing),
        lines=lines,
        safe=existing == "replace",
        again=iter(checked) is not checked,
        writes=True,
    )


def add_vectors(
    collection: str | None,
    ids: Iterable[str],
    vectors: Iterable[npt.ArrayLike],
    metadata: Iterable[Mapping[str, Any] | None] | None,
    existing: Existing,
    *,
    dim: int,
) -> Call[AddReport]:
    """`Index.add_vectors`; the vectors are streamed."""
    one_of("existing", existing, get_args(Existing))
    columns = [column for column in (ids, vectors, metadata) if column is not None]
    first = paired_vectors(ids, vectors, metadata)  # refuses at once what is no list
    again = all(iter(column) is not column for column in columns)

    def lines() -> Iterator[bytes]:
        nonlocal first
        given, first = first, paired_vectors(ids, vectors, metadata)
        return _chunks((_vector_line(one, dim) for one in given), None)

    return Call(
        "PUT",
        "/v1/vectors",
        report_of,
        params=_named(collection, existing=existing),
        lines=lines,
        safe=existing == "replace",
        again=again,
        writes=True,
    )


def delete(collection: str | None, ids: Iterable[str] | None, filter: Mapping[str, Any] | None) -> Call[int]:
    """`Index.delete`."""
    if (ids is None) == (filter is None):
        raise InputError(
            f"delete(ids={shown(ids)}, filter={shown(filter)}): expected either a list of ids or a filter, such as "
            "filter={'lang': 'de'}."
        )
    body = {"ids": list(checked_ids("ids", ids))} if filter is None else {"filter": checked_filter(filter)}
    return _write("DELETE", collection, body, lambda answer: int(answer["deleted"]))


def update_metadata(collection: str | None, changes: Mapping[str, Mapping[str, Any]]) -> Call[int]:
    """`Index.update_metadata`."""
    if not isinstance(changes, Mapping):
        raise InputError(f"changes: got {shown(changes)}, expected a dict of ids, such as {{'42': {{'year': 2021}}}}.")
    checked = [
        [
            checked_id(key, f"changes[{place}]"),
            None if one is None else checked_metadata(one, f"changes[{place}]", str(key)),
        ]
        for place, (key, one) in enumerate(changes.items())
    ]
    return _write("PATCH", collection, {"changes": checked}, lambda answer: int(answer["changed"]))


# -- inside ------------------------------------------------------------------------------------------------------------


def _query_pages(
    path: str, collection: str | None, name: str, queries: list[str], options: dict[str, Any]
) -> list[Call[list[list[Hit]]]]:
    """Queries, some a request, so that one request holds no place of the server for long."""
    return [
        _post(path, _in(collection, {name: queries[at : at + _QUERIES], **options}), results_of)
        for at in range(0, len(queries), _QUERIES)
    ]


def _post(path: str, body: Mapping[str, Any], read: Callable[[Any], T]) -> Call[T]:
    return Call("POST", path, read, body=_json(body))


def _write(method: str, collection: str | None, body: Mapping[str, Any], read: Callable[[Any], T]) -> Call[T]:
    """A change that is counted: done twice, it would be counted wrongly."""
    return Call(method, "/v1/documents", read, body=_json(_in(collection, body)), safe=False, writes=True)


def _in(collection: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "collection": collection}


def _named(collection: str | None, **params: str) -> dict[str, str]:
    return params if collection is None else {**params, "collection": collection}


def _json(body: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in body.items() if value is not None}
    return json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _chunks(rows: Iterable[Mapping[str, Any]], progress: Callable[[int], None] | None) -> Iterator[bytes]:
    """Lines of JSON, some at a time."""
    chunk = bytearray()
    count = 0
    for row in rows:
        chunk += _json(row)
        chunk += b"\n"
        count += 1
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
            if progress is not None:
                progress(count)
            count = 0
    if chunk:
        yield bytes(chunk)
    if count and progress is not None:
        progress(count)


def _vector_line(one: DocumentWithVectors, dim: int) -> dict[str, Any]:
    vectors = checked_vectors(one.vectors, dim=dim, name=f"vectors of document {one.id!r}")
    return {"id": one.id, "vectors": _packed(vectors), "metadata": one.document.metadata}


def _packed(vectors: npt.NDArray[np.float32]) -> str:
    """Rows as base64 of little-endian float32."""
    return base64.b64encode(vectors.astype("<f4", copy=False).tobytes()).decode("ascii")
