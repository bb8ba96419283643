"""/v1/documents: stored documents, read, written and deleted. A write is answered when it is durable, all of it or none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import IO, Any, get_args

from fastapi import APIRouter, Request, Response

from polyvec.arguments import list_of, one_of, shown
from polyvec.data import Document
from polyvec.data.document import document_of
from polyvec.errors import InputError
from polyvec.index.writing.report import AddReport, Existing
from polyvec.serve.bodies import check_media_type, parse_json, read_body, read_request, spool_body
from polyvec.serve.calls import COLLECTION_PARAMETER, READ, WRITE, bytes_answer, call, json_bytes
from polyvec.serve.collections import Collection
from polyvec.serve.pool import Task, Work
from polyvec.serve.problems import Problem
from polyvec.serve.schemas import (
    Deleted,
    DeleteRequest,
    GetRequest,
    GivenDocument,
    GotDocuments,
    Stored,
    StoredDocument,
)
from polyvec.serve.serving import Serving, search_work, serving_of, since_ms, write_work

router = APIRouter()

_NDJSON = "application/x-ndjson"
_LIST = {"type": "array", "items": {"$ref": f"#/components/schemas/{GivenDocument.__name__}"}}
_PUT = {
    "parameters": [
        COLLECTION_PARAMETER,
        {
            "name": "existing",
            "in": "query",
            "required": False,
            "description": "What to do with an id that is stored already.",
            "schema": {"type": "string", "enum": list(get_args(Existing)), "default": "replace"},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _LIST, "example": [{"id": "42", "text": "Bienen tanzen.", "lang": "de"}]},
            _NDJSON: {"schema": {"type": "string"}, "example": '{"id": "42", "text": "Bienen tanzen."}\n'},
        },
    },
}
_DOCUMENT = {
    "parameters": [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        COLLECTION_PARAMETER,
    ]
}


@call(router, "PUT", "/v1/documents", summary="Store", answer=Stored, problems=WRITE, tags=["documents"], more=_PUT)
async def put_documents(request: Request) -> Response:
    """Store documents: a JSON list, or NDJSON, one document a line, which is streamed. Known ids are replaced."""
    serving = serving_of(request)
    check_may_write(serving)
    existing = one_of("existing", request.query_params.get("existing", "replace"), get_args(Existing))
    collection = serving.collections.chosen(request.query_params.get("collection"))
    kind = check_media_type(request, ("application/json", _NDJSON))
    config = serving.config
    given: list[Any] | IO[bytes]
    if kind == _NDJSON:
        with serving.room.upload():
            given = await spool_body(request, most=config.max_upload, within_s=config.timeout)
    else:
        parsed = parse_json(await read_body(request, most=config.max_body, within_s=config.timeout))
        given = list(list_of("documents", parsed))

    def work(task: Task) -> Work:
        documents = _documents(task, _rows(given, config.max_body), config.max_text)
        report = collection.index.add(documents, existing=existing)  # type: ignore[arg-type]
        collection.writes += 1
        yield from ()
        serving.metrics.step("write", time.perf_counter() - task.started)
        return report_json(report, task)

    try:
        return bytes_answer(await write_work(request, collection, work))
    finally:
        if not isinstance(given, list):
            given.close()


@call(
    router, "DELETE", "/v1/documents", summary="Delete", body=DeleteRequest, answer=Deleted, problems=WRITE,
    tags=["documents"],
)  # fmt: skip
async def delete_documents(request: Request) -> Response:
    """Delete documents by their ids, or all that a filter leaves."""
    serving = serving_of(request)
    check_may_write(serving)
    config = serving.config
    asked = await read_request(request, DeleteRequest, most=config.max_body, within_s=config.timeout)
    collection = _chosen(serving, request, asked.collection)
    if (asked.ids is None) == (asked.filter is None):
        raise InputError("Deleting needs one of ids and filter, and not both.")

    def work(task: Task) -> Work:
        deleted = collection.index.delete(asked.ids, filter=asked.filter)
        collection.writes += 1
        yield from ()
        serving.metrics.step("write", time.perf_counter() - task.started)
        return json_bytes({"deleted": deleted, "took_ms": since_ms(task.started)})

    return bytes_answer(await write_work(request, collection, work))


@call(
    router, "POST", "/v1/documents/get", summary="Read several", body=GetRequest, answer=GotDocuments, problems=READ,
    tags=["documents"],
)  # fmt: skip
async def get_documents(request: Request) -> Response:
    """Stored documents by their ids."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, GetRequest, most=config.max_body, within_s=config.timeout)
    collection = _chosen(serving, request, asked.collection)
    ids = list(list_of("ids", asked.ids))
    if len(ids) > config.max_k:
        raise InputError(f"ids: got {len(ids):,}, and at most {config.max_k:,} are taken at once. Ask in parts.")

    def work(task: Task) -> Work:
        found = collection.index.get(ids)
        yield from ()
        return json_bytes({"documents": [None if one is None else _shown(one) for one in found]})

    return bytes_answer(await search_work(request, work))


@call(
    router, "GET", "/v1/documents/{id:path}", summary="Read one", answer=StoredDocument, problems=(*READ, "no-document"),
    tags=["documents"], more=_DOCUMENT,
)  # fmt: skip
async def get_document(request: Request) -> Response:
    """One stored document. Its id stands in the path, percent-encoded."""
    serving = serving_of(request)
    collection = serving.collections.chosen(request.query_params.get("collection"))
    wanted = request.path_params["id"]

    def work(task: Task) -> Work:
        (found,) = collection.index.get([wanted])
        yield from ()
        if found is None:
            raise Problem("no-document", f"id={shown(wanted)}: the collection {collection.name} has no such document.")
        return json_bytes(_shown(found))

    return bytes_answer(await search_work(request, work))


def report_json(report: AddReport, task: Task) -> bytes:
    """What storing did, in JSON."""
    counted = {name: getattr(report, name) for name in ("added", "replaced", "skipped", "tokens", "truncated")}
    return json_bytes({**counted, "took_ms": since_ms(task.started)})


def _chosen(serving: Serving, request: Request, in_body: object) -> Collection:
    """The collection that the body names, or the address where the body names none."""
    return serving.collections.chosen(request.query_params.get("collection") if in_body is None else in_body)


def check_may_write(serving: Serving) -> None:
    """Raise Problem where nobody may write."""
    if serving.config.read_only:
        raise Problem("read-only", "This server is read-only. Write through another one.")


def _shown(document: Document) -> dict[str, Any]:
    return {"id": document.id, "text": document.text, "metadata": document.metadata}


def _rows(given: list[Any] | IO[bytes], longest: int) -> Iterator[tuple[str, Any]]:
    """Places and rows: of a list, or of a file of lines."""
    if isinstance(given, list):
        for number, row in enumerate(given):
            yield f"document {number}", row
        return
    for number, line in numbered_lines(given, longest):
        yield f"line {number}", parse_json(line, f"line {number}")


def numbered_lines(file: IO[bytes], longest: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, counted from 1. Raises Problem for one of more bytes than `longest`."""
    lines: Iterable[bytes] = iter(lambda: file.readline(longest + 2), b"")
    for number, line in enumerate(lines, start=1):
        if len(line.rstrip(b"\r\n")) > longest:
            raise Problem(
                "too-large", f"line {number} has more than {longest:,} bytes, which are the most that are taken."
            )
        if line.strip():
            yield number, line


def _documents(task: Task, rows: Iterable[tuple[str, Any]], longest: int) -> Iterator[Document]:
    """Documents, each checked; ends with an error when nobody waits any more, and then nothing is stored."""
    for where, row in rows:
        task.check()
        if not isinstance(row, dict):
            raise InputError(f"{where}: got {shown(row)}, expected a dict with id and text.")
        document = document_of(row, where)
        if len(document.text) > longest:
            raise InputError(
                f"{where}: the text of document {document.id!r} has {len(document.text):,} characters, and at most {longest:,} "
                "are taken. Cut or split it."
            )
        yield document
