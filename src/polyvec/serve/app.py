"""Collections and a configuration -> the application that answers HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from polyvec.errors import PolyvecError
from polyvec.serve import schemas
from polyvec.serve.collections import Collections
from polyvec.serve.config import ServeConfig
from polyvec.serve.exchange import Exchange
from polyvec.serve.guard import Guard
from polyvec.serve.pool import TimedOutError
from polyvec.serve.problems import KINDS, MEDIA_TYPE, Problem, problem_of
from polyvec.serve.routes import collections as collection_routes
from polyvec.serve.routes import documents, health, rerank, search, vectors
from polyvec.serve.serving import Serving
from polyvec.serve.static import serve_files
from polyvec.serve.warming import warm
from polyvec.version import __version__

_BODIES = (
    schemas.SearchRequest, schemas.RerankRequest, schemas.VectorsRequest, schemas.DeleteRequest, schemas.GetRequest,
    schemas.GivenDocument, schemas.ProblemDetails,
)  # fmt: skip
_ROUTERS = (search.router, rerank.router, vectors.router, documents.router, collection_routes.router, health.router)


def create_app(collections: Collections, config: ServeConfig | None = None) -> Guard:
    """The application, as an ASGI server runs it; it closes the collections when that server stops.

    Args:
        collections: What is served, see `open_collections`.
        config: How; None for the defaults.
    """
    serving = Serving(ServeConfig() if config is None else config, collections)
    serving.metrics.describe(collections)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warm(serving)
        yield
        serving.close()

    app = FastAPI(
        title="polyvec", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.serving = serving
    for router in _ROUTERS:
        app.include_router(router)
    serve_files(app)
    _describe(app)
    _answer_problems(app, serving)
    return Guard(app, serving)


def _answer_problems(app: FastAPI, serving: Serving) -> None:
    """Every error that a handler raises, as problem details."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(_known(error), serving.hidden)
        exchange: Exchange = request.scope["polyvec.exchange"]
        if problem.name in ("fault", "unusable", "damaged"):
            raise error  # for the guard, which logs it
        exchange.problem = problem.name
        if problem.kind.status in (429, 503):
            serving.metrics.refused(problem.name)
        return Response(
            problem.body(exchange.request_id), problem.kind.status, dict(problem.headers), media_type=MEDIA_TYPE
        )

    for kind in (Problem, PolyvecError, HTTPException, TimedOutError):
        app.add_exception_handler(kind, answer)


def _known(error: Exception) -> Exception:
    """What the framework and the threads raise, as a problem."""
    if isinstance(error, TimedOutError):
        return Problem("timed-out", "The answer took too long. Ask for less.")
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            return Problem("wrong-method", f"This call has another method: {allowed}.", headers=[("allow", allowed)])
        name = "no-route" if error.status_code == 404 else "bad-request"
        return Problem(name, KINDS[name].meaning)
    return error


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
