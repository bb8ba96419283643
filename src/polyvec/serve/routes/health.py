"""Whether the server lives, whether it can search, and its metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from polyvec.serve.calls import call, json_answer
from polyvec.serve.problems import Problem
from polyvec.serve.schemas import Health
from polyvec.serve.serving import serving_of
from polyvec.version import __version__

router = APIRouter()


@call(router, "GET", "/healthz", summary="Alive", answer=Health, problems=("fault",), tags=["operation"])
async def healthz(request: Request) -> Response:
    """Whether the process answers."""
    return json_answer({"status": "ok", "version": __version__})


@call(
    router, "GET", "/readyz", summary="Ready", answer=Health, problems=("not-ready", "stopping"), tags=["operation"],
)  # fmt: skip
async def readyz(request: Request) -> Response:
    """Whether models are loaded, a first question was answered in every collection, and the server is not stopping."""
    serving = serving_of(request)
    if serving.stopping:
        raise Problem("stopping", "The server finishes what it has accepted and takes nothing new.")
    if not serving.ready:
        raise Problem("not-ready", "The first question has not been answered yet. Ask again in a moment.")
    return json_answer({"status": "ready", "version": __version__})


@call(
    router, "GET", "/metrics", summary="Metrics", answer=None, problems=("no-token",), tags=["operation"],
    more={"responses": {"200": {"description": "Prometheus", "content": {"text/plain": {"schema": {"type": "string"}}}}}},
)  # fmt: skip
async def metrics(request: Request) -> Response:
    """Counts and latencies, as Prometheus reads them."""
    serving = serving_of(request)
    text = await asyncio.get_running_loop().run_in_executor(None, serving.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
