"""How a call is declared: its path, what it takes and gives, and the problems it may end in; and how it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from polyvec.serve.problems import KINDS, MEDIA_TYPE
from polyvec.serve.schemas import ProblemDetails

Handler = Callable[[Request], Awaitable[Response]]

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SCHEMA = "#/components/schemas/"


def call(
    router: APIRouter,
    method: str,
    path: str,
    *,
    summary: str,
    answer: type[BaseModel] | None,
    body: type[BaseModel] | None = None,
    problems: Sequence[str] = (),
    tags: Sequence[str] = (),
    more: dict[str, Any] | None = None,
    shown: bool = True,
) -> Callable[[Handler], Handler]:
    """Register a handler of one call, with its description for /openapi.json.

    Args:
        router: Where it is registered.
        method: GET, POST, PUT, PATCH or DELETE.
        path: With {names} of parameters.
        summary: A few words; the handler's docstring is the description.
        answer: The schema of success.
        body: The schema of a JSON body.
        problems: Names of problems it may end in, of problems.KINDS.
        tags: Under which heading it is listed.
        more: More of the operation in OpenAPI, such as parameters.
        shown: Whether it is listed.
    """
    extra = dict(more or {})
    if body is not None:
        content = {"application/json": {"schema": {"$ref": _SCHEMA + body.__name__}}}
        extra["requestBody"] = {"required": True, "content": content}
    responses: dict[int | str, dict[str, Any]] = {} if answer is None else {200: {"model": answer}}
    for name in problems:
        kind = KINDS[name]
        known = responses.setdefault(
            kind.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": _SCHEMA + ProblemDetails.__name__}}},
            },
        )
        known["description"] = "; ".join(filter(None, [known["description"], kind.title]))

    def register(handler: Handler) -> Handler:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            summary=summary,
            tags=list(tags),
            response_class=Response,
            response_model=None,
            responses=responses,
            openapi_extra=extra,
            include_in_schema=shown,
        )
        return handler

    return register


def json_answer(value: Any) -> Response:
    """An answer in JSON."""
    return bytes_answer(json_bytes(value))


def bytes_answer(body: bytes) -> Response:
    """An answer that is JSON already."""
    return Response(body, media_type="application/json")


def json_bytes(value: Any) -> bytes:
    """A value in JSON, in UTF-8."""
    return _encode(value).encode("utf-8")


READ = ("malformed-json", "no-token", "not-allowed", "no-collection", "slow-body", "too-large", "media-type", "invalid",
        "queue-full", "fault", "unusable", "shards-missing", "stopping", "timed-out")  # fmt: skip
WRITE = (*READ, "read-only", "pulled", "locked")

COLLECTION_PARAMETER = {
    "name": "collection",
    "in": "query",
    "required": False,
    "description": "Which collection; may be left out where one is served.",
    "schema": {"type": "string"},
}
