"""Token vectors that a client made itself: searched with, and stored. They travel as base64 of little-endian rows."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SkipValidation

from polyvec.arguments import list_of, one_of, shown, whole_number
from polyvec.deadlines import stopping
from polyvec.errors import InputError
from polyvec.index.engine.options import SearchOptions
from polyvec.index.writing.report import Existing
from polyvec.search.missing import noting_missing
from polyvec.serve.bodies import check_media_type, parse_json, read_request, spool_body
from polyvec.serve.calls import COLLECTION_PARAMETER, READ, WRITE, bytes_answer, call, json_bytes
from polyvec.serve.pool import Task, Work
from polyvec.serve.routes.documents import check_may_write, numbered_lines, report_json
from polyvec.serve.routes.search import partial_fields
from polyvec.serve.schemas import Body, SearchAnswer, Stored
from polyvec.serve.serving import search_work, serving_of, since_ms, write_work

router = APIRouter()

Numbers = Literal["float32", "float16"]

_NDJSON = "application/x-ndjson"
_NUMBERS = "What the base64 holds: float32 if left out; float16 as /v1/multi-vector gives it."
_EXAMPLE = base64.b64encode(np.eye(1, 4, dtype="<f4").tobytes()).decode("ascii")
_PUT = {
    "parameters": [
        COLLECTION_PARAMETER,
        {"name": "existing", "in": "query", "required": False, "description": "What to do with an id that is stored already.",
         "schema": {"type": "string", "enum": list(get_args(Existing)), "default": "replace"}},
        {"name": "dtype", "in": "query", "required": False, "description": _NUMBERS,
         "schema": {"type": "string", "enum": list(get_args(Numbers)), "default": "float32"}},
    ],
    "requestBody": {
        "required": True,
        "content": {
            _NDJSON: {"schema": {"type": "string"}, "example": f'{{"id": "42", "vectors": "{_EXAMPLE}", "metadata": {{}}}}\n'}
        },
    },
}  # fmt: skip


class VectorSearchRequest(Body):
    """Queries as token vectors."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"vectors": [_EXAMPLE], "k": 10}]})

    vectors: Annotated[
        list[str], SkipValidation, Field(description="A matrix a query: base64 of its rows, little-endian.")
    ]
    dtype: Annotated[Numbers | None, SkipValidation, Field(description=_NUMBERS)] = None
    k: Annotated[int | None, SkipValidation, Field(description="Hits of each query; 10 if left out.")] = None
    filter: Annotated[dict[str, Any] | None, SkipValidation, Field(description="On metadata.")] = None
    subset: Annotated[list[str] | None, SkipValidation, Field(description="Ids to choose from.")] = None
    min_score: Annotated[float | None, SkipValidation, Field(description="Least normalized score of a hit.")] = None
    options: Annotated[
        dict[str, Any] | None,
        SkipValidation,
        Field(description="More fields of SearchOptions: exact, recall, nprobe ..."),
    ] = None
    collection: Annotated[
        str | None, SkipValidation, Field(description="Which collection; may be left out where one is served.")
    ] = None


@call(
    router, "POST", "/v1/search-vectors", summary="Search with vectors", body=VectorSearchRequest, answer=SearchAnswer,
    problems=READ, tags=["search"],
)  # fmt: skip
async def search_vectors(request: Request) -> Response:
    """The best documents for token vectors, as /v1/multi-vector or a model of your own makes them. Needs no model here."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, VectorSearchRequest, most=config.max_body, within_s=config.timeout)
    collection = serving.collections.chosen(asked.collection)
    given = list(list_of("vectors", asked.vectors))
    if len(given) > config.max_batch:
        raise InputError(
            f"vectors: got {len(given):,}, and at most {config.max_batch:,} are taken at once. Ask in parts."
        )
    dtype = one_of("dtype", "float32" if asked.dtype is None else asked.dtype, get_args(Numbers))
    queries = [unpacked(one, f"vectors[{place}]", collection.index.dim, dtype) for place, one in enumerate(given)]
    options = _options(asked, config.max_k)

    def work(task: Task) -> Work:
        results = []
        missing: set[str] = set()
        threads = serving.pool.threads if len(queries) == 1 and serving.pool.alone else 1
        began = time.perf_counter()
        for query in queries:
            with stopping(task.check), noting_missing() as names:
                hits = collection.index.search_vectors(query, options=options, threads=threads)
            missing |= names
            results.append({"query": "", "hits": [hit.to_dict() for hit in hits]})
            yield None
        search_ms = since_ms(began)
        took_ms = since_ms(task.started)
        return json_bytes(
            {
                "results": results,
                "took_ms": took_ms,
                "encode_ms": 0.0,
                "search_ms": search_ms,
                **partial_fields(missing),
            }
        )

    return bytes_answer(await search_work(request, work))


@call(
    router, "PUT", "/v1/vectors", summary="Store vectors", answer=Stored, problems=WRITE, tags=["documents"], more=_PUT
)
async def put_vectors(request: Request) -> Response:
    """Store token vectors in place of texts: NDJSON, one document a line. All or none; answered when it is durable."""
    serving = serving_of(request)
    check_may_write(serving)
    existing = one_of("existing", request.query_params.get("existing", "replace"), get_args(Existing))
    collection = serving.collections.chosen(request.query_params.get("collection"))
    dtype = one_of("dtype", request.query_params.get("dtype", "float32"), get_args(Numbers))
    check_media_type(request, (_NDJSON,))
    config = serving.config
    with serving.room.upload():
        file = await spool_body(request, most=config.max_upload, within_s=config.timeout)

    def work(task: Task) -> Work:
        columns = _Columns(task, file, config.max_body, collection.index.dim, dtype)
        report = collection.index.add_vectors(
            columns.ids(),
            columns.vectors(),
            metadata=columns.metadata(),
            existing=existing,  # type: ignore[arg-type]
        )
        collection.writes += 1
        yield from ()
        serving.metrics.step("write", time.perf_counter() - task.started)
        return report_json(report, task)

    try:
        return bytes_answer(await write_work(request, collection, work))
    finally:
        file.close()


def unpacked(given: Any, name: str, dim: int, dtype: str = "float32") -> npt.NDArray[np.float32]:
    """(t, dim) float32, of base64 that holds little-endian numbers of `dtype`. Raises InputError for what is none."""
    if not isinstance(given, str):
        raise InputError(f"{name}={shown(given)}: expected base64 of {dtype} rows.")
    try:
        data = base64.b64decode(given.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InputError(f"{name}: expected base64 of {dtype} rows.") from None
    little = np.dtype(dtype).newbyteorder("<")
    if len(data) % (little.itemsize * dim):
        raise InputError(f"{name}: {len(data)} bytes are no rows of {dim} {dtype} numbers.")
    return np.frombuffer(data, dtype=little).astype(np.float32).reshape(-1, dim)


def _options(asked: VectorSearchRequest, max_k: int) -> SearchOptions:
    given = {} if asked.options is None else asked.options
    if not isinstance(given, dict):
        raise InputError(f"options={shown(given)}: expected an object such as {{'exact': true}}.")
    own = {name: getattr(asked, name) for name in ("k", "filter", "subset", "min_score")}
    options = SearchOptions.from_dict({**given, **{name: value for name, value in own.items() if value is not None}})
    whole_number("k", options.k, most=max_k, of="hits")
    return options


class _Columns:
    """The lines of a file as three columns that are read in step: ids, vectors, metadata."""

    def __init__(self, task: Task, file: IO[bytes], longest: int, dim: int, dtype: str) -> None:
        self._task, self._dim, self._dtype = task, dim, dtype
        self._lines = numbered_lines(file, longest)
        self._row: dict[str, Any] = {}
        self._where = ""

    def ids(self) -> Iterator[Any]:
        """Of each line; this column is asked first, and reads the line."""
        for number, line in self._lines:
            self._task.check()
            self._where = f"line {number}"
            row = parse_json(line, self._where)
            if not isinstance(row, dict) or not {"id", "vectors"} <= row.keys() <= {"id", "vectors", "metadata"}:
                raise InputError(f"{self._where}: got {shown(row)}, expected an object with id, vectors and metadata.")
            self._row = row
            yield row["id"]
        self._row = {}

    def vectors(self) -> Iterator[npt.NDArray[np.float32]]:
        """Of the same line."""
        while self._row:
            yield unpacked(self._row["vectors"], f"{self._where}: vectors", self._dim, self._dtype)

    def metadata(self) -> Iterator[Any]:
        """Of the same line."""
        while self._row:
            yield self._row.get("metadata")
