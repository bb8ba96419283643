"""POST /v1/multi-vector: texts in, their token vectors out; in the shape that Jina has."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response

from polyvec.arguments import one_of, whole_number
from polyvec.encoder import Encoder, TokenEncoder
from polyvec.errors import InputError
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.encoding import SharedEncoder
from polyvec.serve.pool import Task, Work
from polyvec.serve.routes.rerank import check_model_name, checked_texts, encoder_of
from polyvec.serve.schemas import VectorsAnswer, VectorsRequest
from polyvec.serve.serving import search_work, serving_of

router = APIRouter()

_sized: dict[tuple[str, int], TokenEncoder] = {}  # models with a head of another size than the collection's
_sizing = threading.Lock()


@call(
    router, "POST", "/v1/multi-vector", summary="Token vectors", body=VectorsRequest, answer=VectorsAnswer, problems=READ,
    tags=["search"],
)  # fmt: skip
async def multi_vector(request: Request) -> Response:
    """One matrix a text: a unit vector for each of its tokens. For searching elsewhere, or for `Index.search_vectors`."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, VectorsRequest, most=config.max_body, within_s=config.timeout)
    check_model_name(asked.model)
    shared = encoder_of(serving.collections, asked.collection)
    texts = checked_texts("input", asked.input, config.max_batch, config.max_text)
    kind = one_of("input_type", "document" if asked.input_type is None else asked.input_type, ("query", "document"))
    form = one_of(
        "encoding_format", "float" if asked.encoding_format is None else asked.encoding_format, ("float", "base64")
    )
    dim = None if asked.dimensions is None else whole_number("dimensions", asked.dimensions, of="dimensions")

    def work(task: Task) -> Work:
        encoder = _with_dim(shared, dim)
        stream = encoder.stream_queries(texts) if kind == "query" else encoder.stream_documents(texts)
        tokens, data = 0, []
        for place, encoded in enumerate(stream):
            task.check()
            tokens += len(encoded.vectors)
            data.append({"index": place, "embeddings": _written(encoded.vectors, form)})
        yield from ()
        return json_bytes(
            {"model": encoder.name, "dimensions": encoder.dim, "data": data, "usage": {"total_tokens": tokens}}
        )

    return bytes_answer(await search_work(request, work))


def _with_dim(shared: SharedEncoder, dim: int | None) -> TokenEncoder:
    """The model with a head of this size, loaded once. Raises InputError where it has none."""
    if dim is None or dim == shared.dim:
        return shared
    if not isinstance(shared.encoder, Encoder):
        raise InputError(f"dimensions={dim}: this model has {shared.dim} dimensions and no others.")
    key = (shared.fingerprint, dim)
    with _sizing:
        if key not in _sized:
            _sized[key] = Encoder(**{**shared.settings(), "dim": dim})
        return _sized[key]


def _written(vectors: npt.NDArray[np.float32], form: str) -> Any:
    if form == "base64":
        return base64.b64encode(vectors.astype("<f2").tobytes()).decode("ascii")
    return vectors.astype(np.float64).round(7).tolist()
