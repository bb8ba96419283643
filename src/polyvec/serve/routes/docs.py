"""The description of the API: /openapi.json for programs, /docs for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from polyvec.serve.calls import json_answer
from polyvec.serve.reference import STYLE, reference_page

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """OpenAPI 3.1."""
    return json_answer(request.app.openapi())


@router.get("/docs")
async def docs(request: Request) -> Response:
    """A page without scripts."""
    return Response(reference_page(request.app.openapi()), media_type="text/html; charset=utf-8")


@router.get("/docs.css")
async def style(request: Request) -> Response:
    """The look of that page."""
    return Response(STYLE, media_type="text/css; charset=utf-8")
