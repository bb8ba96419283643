"""POST /v1/rerank: a query and texts in, the same texts by relevance out; in the shape that Cohere and Jina have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from polyvec.arguments import flag, list_of, shown, whole_number
from polyvec.data.text import LONGEST_QUERY, checked_text
from polyvec.encoder import Encoded, TokenEncoder
from polyvec.errors import InputError
from polyvec.search.rerank import rerank
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.collections import Collection, Collections
from polyvec.serve.encoding import SharedEncoder
from polyvec.serve.pool import Task, Work
from polyvec.serve.schemas import RerankAnswer, RerankRequest
from polyvec.serve.serving import search_work, serving_of

router = APIRouter()

_PATHS = ("/v1/rerank", "/rerank", "/v2/rerank")


async def rerank_texts(request: Request) -> Response:
    """Order texts by exact MaxSim with a query. They are encoded now; nothing is stored."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, RerankRequest, most=config.max_body, within_s=config.timeout)
    check_model_name(asked.model)
    encoder = encoder_of(serving.collections, asked.collection)
    texts = _documents(asked.documents, config.max_batch, config.max_text)
    query = checked_text(asked.query, "query", longest=min(LONGEST_QUERY, config.max_text))
    top_n = None if asked.top_n is None else whole_number("top_n", asked.top_n, of="documents")
    repeat = asked.return_documents is not None and flag("return_documents", asked.return_documents)

    def work(task: Task) -> Work:
        counting = _Counting(encoder, task.check)
        hits = rerank(query, texts, encoder=counting, k=top_n, threads=1)
        yield from ()
        results = []
        for hit in hits:
            one: dict[str, Any] = {"index": int(hit.id), "relevance_score": hit.normalized_score, "score": hit.score}
            if repeat:
                one["document"] = {"text": hit.text}
            results.append(one)
        return json_bytes({"model": encoder.name, "results": results, "usage": {"total_tokens": counting.tokens}})

    return bytes_answer(await search_work(request, work))


for _path in _PATHS:
    call(
        router, "POST", _path, summary="Rerank", body=RerankRequest, answer=RerankAnswer, problems=READ, tags=["search"],
        shown=_path == _PATHS[0],
    )(rerank_texts)  # fmt: skip


def check_model_name(name: Any) -> None:
    """Any name will do: clients of other services always send one. Raises InputError for what is none."""
    if name is not None and not isinstance(name, str):
        raise InputError(f"model={shown(name)}: expected a name, or nothing.")


def encoder_of(collections: Collections, name: object) -> SharedEncoder:
    """The model of a collection; of the first that has one where none is named. Raises InputError where there is none."""
    chosen: Iterable[Collection] = collections.values() if name is None else [collections.chosen(name)]
    for one in chosen:
        if one.encoder is not None:
            return one.encoder
    raise InputError(
        "No collection that is meant has a model: they hold vectors only. Serve one that was made from texts."
    )


def checked_texts(what: str, given: Any, most: int, longest: int) -> list[str]:
    """A list of texts, each of them checked."""
    texts = list(list_of(what, given))
    if not texts:
        raise InputError(f"{what}: got an empty list, expected at least one text.")
    if len(texts) > most:
        raise InputError(f"{what}: got {len(texts):,}, and at most {most:,} are taken at once. Ask in parts.")
    return [checked_text(text, f"{what}[{place}]", longest=longest) for place, text in enumerate(texts)]


def _documents(given: Any, most: int, longest: int) -> list[str]:
    texts = []
    for place, one in enumerate(list_of("documents", given)):
        if isinstance(one, dict):
            if one.keys() != {"text"}:
                raise InputError(
                    f"documents[{place}]: got {shown(one)}, expected a text, or an object with `text` alone."
                )
            texts.append(one["text"])
        else:
            texts.append(one)
    return checked_texts("documents", texts, most, longest)


class _Counting:
    """An encoder that counts tokens, and stops when nobody waits for the answer any more."""

    def __init__(self, encoder: TokenEncoder, check: Callable[[], None]) -> None:
        self._encoder, self._check, self.tokens = encoder, check, 0
        self.name, self.fingerprint, self.dim = encoder.name, encoder.fingerprint, encoder.dim
        self.document_length, self.settings = encoder.document_length, encoder.settings

    def stream_queries(self, texts: Iterable[str]) -> Iterator[Encoded]:
        """As the encoder has it."""
        return self._counted(self._encoder.stream_queries(texts))

    def stream_documents(
        self, texts: Iterable[str], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Encoded]:
        """As the encoder has it."""
        return self._counted(self._encoder.stream_documents(texts, progress=progress))

    def _counted(self, stream: Iterator[Encoded]) -> Iterator[Encoded]:
        for encoded in stream:
            self._check()
            self.tokens += len(encoded.vectors)
            yield encoded
