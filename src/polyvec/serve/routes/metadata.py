"""PATCH /v1/documents: metadata of stored documents is changed, and nothing is encoded anew unless a title changes."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SkipValidation

from polyvec.arguments import list_of, shown
from polyvec.errors import InputError
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import WRITE, bytes_answer, call, json_bytes
from polyvec.serve.pool import Task, Work
from polyvec.serve.routes.documents import check_may_write
from polyvec.serve.schemas import Body, Changed
from polyvec.serve.serving import serving_of, since_ms, write_work

router = APIRouter()


class ChangeRequest(Body):
    """Which fields of which documents."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"changes": [["42", {"year": 2021, "draft": None}]]}]})

    changes: Annotated[
        list[tuple[str, dict[str, Any]]],
        SkipValidation,
        Field(
            description="Pairs of an id and its fields: new ones are added, known ones get the new value, null removes."
        ),
    ]
    collection: Annotated[
        str | None, SkipValidation, Field(description="Which collection; may be left out where one is served.")
    ] = None


@call(
    router, "PATCH", "/v1/documents", summary="Change metadata", body=ChangeRequest, answer=Changed, problems=WRITE,
    tags=["documents"],
)  # fmt: skip
async def change_documents(request: Request) -> Response:
    """Change metadata of stored documents, all of it or nothing; fields that are not named stay. Answered when it is durable."""
    serving = serving_of(request)
    check_may_write(serving)
    config = serving.config
    asked = await read_request(request, ChangeRequest, most=config.max_body, within_s=config.timeout)
    collection = serving.collections.chosen(asked.collection)
    changes = _pairs(asked.changes)

    def work(task: Task) -> Work:
        changed = collection.index.update_metadata(changes)
        collection.writes += 1
        yield from ()
        serving.metrics.step("write", time.perf_counter() - task.started)
        return json_bytes({"changed": changed, "took_ms": since_ms(task.started)})

    return bytes_answer(await write_work(request, collection, work))


def _pairs(given: Any) -> dict[str, Any]:
    """Changes by id."""
    changes: dict[str, Any] = {}
    for place, pair in enumerate(list_of("changes", given)):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise InputError(f"changes[{place}]: got {shown(pair)}, expected a pair of an id and an object of fields.")
        if pair[0] in changes:
            raise InputError(f"changes: document {pair[0]!r} comes twice. Give the changes of each document once.")
        changes[pair[0]] = pair[1]
    return changes
