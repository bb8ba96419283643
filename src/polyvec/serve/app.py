"""Collections and a configuration -> the application that answers HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import Match

from polyvec.errors import PolyvecError
from polyvec.serve import schemas
from polyvec.serve.bodies import ClientGoneError
from polyvec.serve.collections import Collections
from polyvec.serve.config import ServeConfig
from polyvec.serve.exchange import Exchange
from polyvec.serve.guard import Answer, Guard
from polyvec.serve.mcp_route import McpRoute
from polyvec.serve.pool import TimedOutError
from polyvec.serve.problems import KINDS, MEDIA_TYPE, Problem, problem_of
from polyvec.serve.routes import collections as collection_routes
from polyvec.serve.routes import docs, documents, explain, health, metadata, own_vectors, rerank, search, vectors, walk
from polyvec.serve.serving import Serving
from polyvec.serve.static import serve_files
from polyvec.serve.warming import warm
from polyvec.version import __version__

_BODIES = (
    schemas.SearchRequest, schemas.RerankRequest, schemas.VectorsRequest, schemas.DeleteRequest, schemas.GetRequest,
    schemas.GivenDocument, schemas.ProblemDetails, explain.ExplainRequest, walk.ScanRequest, metadata.ChangeRequest,
    own_vectors.VectorSearchRequest,
)  # fmt: skip
_ROUTERS = (
    search.router, own_vectors.router, explain.router, rerank.router, vectors.router, documents.router, metadata.router,
    walk.router, collection_routes.router, health.router, docs.router,
)  # fmt: skip


def create_app(collections: Collections, config: ServeConfig | None = None) -> Guard:
    """The application, as an ASGI server runs it; it closes the collections when that server stops.

    Args:
        collections: What is served, see `open_collections`.
        config: How; None for the defaults.
    """
    serving = Serving(ServeConfig() if config is None else config, collections)
    serving.metrics.describe(collections)
    mcp = McpRoute(serving)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warm(serving)
        yield
        await mcp.close()
        serving.close()

    app = FastAPI(
        title="polyvec", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.serving = serving
    for router in _ROUTERS:
        app.include_router(router)
    app.router.routes.append(mcp.route())
    serve_files(app)
    _describe(app)
    answer = _answer_problems(app, serving)
    return Guard(app, serving, direct=_direct(), answer=answer)


def _direct() -> dict[tuple[str, str], APIRoute]:
    """Calls of one fixed path by method and path: the guard finds their handlers in one step, and the framework in many."""
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {(method, route.path): route for route in routes if "{" not in route.path for method in route.methods or ()}


def _answer_problems(app: FastAPI, serving: Serving) -> Answer:
    """Every error that a handler raises, as problem details; the guard logs those that are no fault of the client."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(_known(error, request), serving.hidden)
        exchange: Exchange = request.scope["polyvec.exchange"]
        exchange.failed(problem, error)
        return Response(
            problem.body(exchange.request_id), problem.kind.status, dict(problem.headers), media_type=MEDIA_TYPE
        )

    async def nobody(request: Request, error: Exception) -> Response:
        exchange: Exchange = request.scope["polyvec.exchange"]
        exchange.gone = True
        return Response(status_code=499)

    for kind in (Problem, PolyvecError, HTTPException, TimedOutError, Exception):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(ClientGoneError, nobody)
    return answer


def _known(error: Exception, request: Request) -> Exception:
    """What the framework and the threads raise, as a problem."""
    if isinstance(error, TimedOutError):
        return Problem("timed-out", "The answer took too long. Ask for less.")
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allowed = ", ".join(_methods(request))
            return Problem("wrong-method", f"This call has another method: {allowed}.", headers=[("allow", allowed)])
        if error.status_code == 404:
            return Problem("no-route", "Nothing is served at this path. The calls are listed at /docs.")
        return Problem("bad-request", KINDS["bad-request"].meaning)
    return error


def _methods(request: Request) -> list[str]:
    """The methods that a path has."""
    found = {method for method, path in _direct() if path == request.scope["path"]}
    if found:
        return sorted(found)
    for route in chain(request.app.routes, *(router.routes for router in _ROUTERS)):
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    return sorted(found)


def _describe(app: FastAPI) -> None:
    """/openapi.json: made when it is first asked for, and kept."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(
                title=app.title,
                version=app.version,
                summary="Multilingual late-interaction search.",
                description="Every answer other than success is problem details of RFC 9457.",
                routes=app.routes,
            )
            _, models = models_json_schema(
                [(one, "validation") for one in _BODIES], ref_template="#/components/schemas/{model}"
            )
            known = described.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in models["$defs"].items():
                known.setdefault(name, schema)
            known.pop("HTTPValidationError", None)
            known.pop("ValidationError", None)
            described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            described["paths"] = {path.replace(":path}", "}"): calls for path, calls in described["paths"].items()}
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
