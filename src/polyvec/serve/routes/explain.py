"""POST /v1/explain: a question and a hit in, out comes which token met which."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SkipValidation

from polyvec.arguments import shown
from polyvec.data.document import checked_id
from polyvec.data.metadata import checked_metadata
from polyvec.errors import InputError
from polyvec.search.hits import Hit
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.pool import Task, Work
from polyvec.serve.schemas import Body, ExplanationAnswer
from polyvec.serve.serving import search_work, serving_of

router = APIRouter()


class ExplainRequest(Body):
    """A question, and a hit of a search as it was returned."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "Bees?", "hit": {"id": "42", "text": "Bienen tanzen.", "metadata": {}}}]
        }
    )

    query: Annotated[str, SkipValidation, Field(description="The question, in any language.")]
    hit: Annotated[
        dict[str, Any], SkipValidation, Field(description="Its id, text and metadata; other fields are ignored.")
    ]
    collection: Annotated[
        str | None, SkipValidation, Field(description="Which collection; may be left out where one is served.")
    ] = None


@call(
    router, "POST", "/v1/explain", summary="Explain", body=ExplainRequest, answer=ExplanationAnswer, problems=READ, tags=["search"],
)  # fmt: skip
async def explain(request: Request) -> Response:
    """Which token of a question met which token of a document, and how well. The document must be stored as the hit has it."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, ExplainRequest, most=config.max_body, within_s=config.timeout)
    collection = serving.collections.chosen(asked.collection)
    hit = _hit(asked.hit)

    def work(task: Task) -> Work:
        found = collection.index.explain(asked.query, hit)
        yield from ()
        return json_bytes(found.to_dict())

    return bytes_answer(await search_work(request, work))


def _hit(given: Any) -> Hit:
    if not isinstance(given, dict):
        raise InputError(f"hit={shown(given)}: expected an object with id, text and metadata.")
    text = given.get("text")
    if text is not None and not isinstance(text, str):
        raise InputError(f"hit: its text is {shown(text)}, expected a text or null.")
    document_id = checked_id(given.get("id"), "hit")
    return Hit(document_id, 0.0, 1, text, checked_metadata(given.get("metadata"), "hit", document_id))
