"""/v1/collections: what is served."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.pool import Task, Work
from polyvec.serve.schemas import CollectionsAnswer, DescribedCollection
from polyvec.serve.serving import search_work, serving_of

router = APIRouter()


@call(
    router, "GET", "/v1/collections", summary="List", answer=CollectionsAnswer, problems=READ, tags=["collections"],
)  # fmt: skip
async def list_collections(request: Request) -> Response:
    """Every collection that is served, with its counts, sizes, languages, model and codec."""
    collections = list(serving_of(request).collections.values())

    def work(task: Task) -> Work:
        facts = [one.facts() for one in collections]
        yield from ()
        return json_bytes({"collections": facts})

    return bytes_answer(await search_work(request, work))


@call(
    router, "GET", "/v1/collections/{name}", summary="Describe", answer=DescribedCollection, problems=READ,
    tags=["collections"],
    more={"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]},
)  # fmt: skip
async def describe_collection(request: Request) -> Response:
    """One collection: its counts, sizes, languages, model and codec, and its metadata fields with their most frequent values."""
    collection = serving_of(request).collections.chosen(request.path_params["name"])

    def work(task: Task) -> Work:
        facts = collection.described()
        yield from ()
        return json_bytes(facts)

    return bytes_answer(await search_work(request, work))
