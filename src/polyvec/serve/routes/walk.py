"""What lies in a collection beyond single documents: its documents page by page, and the fields of its metadata."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SkipValidation

from polyvec.arguments import whole_number
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.pool import Task, Work
from polyvec.serve.problems import Problem
from polyvec.serve.schemas import Body, FieldsAnswer, GotDocuments, Id
from polyvec.serve.serving import search_work, serving_of

router = APIRouter()

_LARGEST_PAGE = 1000  # documents


class ScanRequest(Body):
    """A page of a walk through the documents, in the order of their ids."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filter": {"lang": "de"}, "after": "42", "limit": 100}]})

    filter: Annotated[
        dict[str, Any] | None, SkipValidation, Field(description="On metadata, as a search takes it.")
    ] = None
    after: Annotated[Id | None, SkipValidation, Field(description="Begin behind this id: the last one before.")] = None
    limit: Annotated[int | None, SkipValidation, Field(description=f"Documents, {_LARGEST_PAGE} at most.")] = None
    collection: Annotated[
        str | None, SkipValidation, Field(description="Which collection; may be left out where one is served.")
    ] = None


@call(
    router, "POST", "/v1/documents/scan", summary="Walk", body=ScanRequest, answer=GotDocuments, problems=READ,
    tags=["documents"],
)  # fmt: skip
async def scan_documents(request: Request) -> Response:
    """Stored documents in the order of their ids, a page at a time. A page that is not full is the last one."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, ScanRequest, most=config.max_body, within_s=config.timeout)
    collection = serving.collections.chosen(asked.collection)
    limit = _LARGEST_PAGE if asked.limit is None else asked.limit
    limit = whole_number("limit", limit, most=_LARGEST_PAGE, of="documents")

    def work(task: Task) -> Work:
        found = []
        for one in collection.index.scan(filter=asked.filter, after=asked.after, limit=limit):
            task.check()
            found.append({"id": one.id, "text": one.text, "metadata": one.metadata})
        yield from ()
        return json_bytes({"documents": found})

    return bytes_answer(await search_work(request, work))


@call(
    router, "GET", "/v1/collections/{name}/fields", summary="Fields", answer=FieldsAnswer, problems=READ,
    tags=["collections"],
    more={
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "required": False, "description": "Values to name of each field.",
             "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}},
        ]
    },
)  # fmt: skip
async def collection_fields(request: Request) -> Response:
    """What the metadata holds, by field: types, how many documents have it, and its most frequent values. For filters."""
    collection = serving_of(request).collections.chosen(request.path_params["name"])
    given = request.query_params.get("limit", "20")
    if not given.isdecimal():
        raise Problem("invalid", "limit: expected a whole number of values.")
    limit = whole_number("limit", int(given[:10]), most=1000, of="values")

    def work(task: Task) -> Work:
        found = collection.index.fields(limit=limit)
        yield from ()
        return json_bytes({"fields": [one.to_dict() for one in found.values()]})

    return bytes_answer(await search_work(request, work))
