"""POST /v1/search: questions in, hits out."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from polyvec.arguments import flag, shown, whole_number
from polyvec.collection.arrivals import query_texts
from polyvec.data.text import checked_text
from polyvec.deadlines import stopping
from polyvec.errors import InputError
from polyvec.index.engine.options import SearchOptions
from polyvec.search.explain import Explanation
from polyvec.search.highlight import WordMatch, word_matches
from polyvec.search.highlight import highlights as found_highlights
from polyvec.search.hits import Hit
from polyvec.search.missing import noting_missing
from polyvec.serve.bodies import read_request
from polyvec.serve.calls import READ, bytes_answer, call, json_bytes
from polyvec.serve.collections import Collection
from polyvec.serve.encoding import holding
from polyvec.serve.pool import Encodings, Pool, Task, Texts, Work
from polyvec.serve.schemas import SearchAnswer, SearchRequest
from polyvec.serve.serving import Serving, search_work, serving_of, since_ms

router = APIRouter()


@call(
    router, "POST", "/v1/search", summary="Search", body=SearchRequest, answer=SearchAnswer, problems=READ, tags=["search"],
)  # fmt: skip
async def search(request: Request) -> Response:
    """The best documents for a question in any language, or for each of several. Every question sees one committed state."""
    serving = serving_of(request)
    config = serving.config
    asked = await read_request(request, SearchRequest, most=config.max_body, within_s=config.timeout)
    collection = serving.collections.chosen(asked.collection)
    texts = _texts(asked.query, config.max_batch, config.max_text)
    options = _options(asked, config.max_k)
    highlights = asked.highlights is not None and flag("highlights", asked.highlights)
    body = await search_work(
        request, lambda task: _work(task, serving, collection, texts, options, highlights=highlights)
    )
    return bytes_answer(body)


def _texts(query: Any, most: int, longest: int) -> list[str]:
    """The questions, checked as `Index.search` does, and against the limits of the server."""
    texts, _ = query_texts(query)
    if not texts:
        raise InputError("queries: got an empty list, expected at least one.")
    if len(texts) > most:
        raise InputError(f"query: got a list of {len(texts):,}, and at most {most:,} are taken at once. Ask in parts.")
    return [checked_text(text, f"query {place}", longest=longest) for place, text in enumerate(texts)]


def _options(asked: SearchRequest, max_k: int) -> SearchOptions:
    """The options of a request: its own fields, and those in `options` that it does not have itself."""
    given = {} if asked.options is None else asked.options
    if not isinstance(given, dict):
        raise InputError(f"options={shown(given)}: expected an object such as {{'exact': true}}.")
    own = {name: getattr(asked, name) for name in ("k", "mode", "filter", "subset", "min_score", "explain")}
    own = {name: value for name, value in own.items() if value is not None}
    for name in own:
        if given.get(name) is not None:
            raise InputError(f"{name} is given twice: beside `options` and in it. Give it once.")
    if given.get("k") is None and "k" not in own:
        own["k"] = min(SearchOptions.k, max_k)
    options = SearchOptions.from_dict({**given, **own})
    whole_number("k", options.k, most=max_k, of="hits")
    return options


def _work(
    task: Task, serving: Serving, collection: Collection, texts: list[str], options: SearchOptions, *, highlights: bool
) -> Work:
    """Search one question after another; gives way between them, and stops when nobody waits any more."""
    results = []
    missing: set[str] = set()
    encode_s = search_s = 0.0
    alone = len(texts) == 1
    for place, text in enumerate(texts):
        began = time.perf_counter()
        encoded: Encodings = {}
        if collection.encoder is not None and options.mode != "keyword":
            encoded = (yield Texts(collection.encoder, [text])) or {}
        elif place:
            yield None
        encoded_at = time.perf_counter()
        encode_s += encoded_at - began
        threads = _threads(serving.pool) if alone else 1
        with stopping(task.check), holding(encoded), noting_missing() as names:
            hits = collection.index.search(text, options=options, threads=threads)
        missing |= names
        results.append({"query": text, "hits": _shown(task, hits, options.explain, highlights)})
        search_s += time.perf_counter() - encoded_at
    serving.metrics.step("search", search_s)
    serving.metrics.step("wait", task.waited_s)
    return json_bytes(
        {
            "results": results,
            "took_ms": since_ms(task.started),
            "encode_ms": round(1000 * encode_s, 3),
            "search_ms": round(1000 * search_s, 3),
            **partial_fields(missing),
        }
    )


def partial_fields(missing: set[str]) -> dict[str, Any]:
    """Whether an answer is partial, and without which shards."""
    return {"partial": True, "missing_shards": sorted(missing)} if missing else {"partial": False}


def _threads(pool: Pool) -> int:
    """Threads for one question: all where it is alone, one where others wait."""
    return pool.threads if pool.alone else 1


def _shown(task: Task, hits: list[Hit], explain: bool, highlights: bool) -> list[dict[str, Any]]:
    """The hits of one question; their matches are weighed together. A hit that cannot be explained goes without."""
    shown = [hit.to_dict() for hit in hits]
    if not explain and not highlights:
        return shown
    explanations = [_explained(task, hit) for hit in hits]
    weighed = iter(word_matches([one for one in explanations if one is not None]))
    for fields, hit, explanation in zip(shown, hits, explanations, strict=True):
        if explanation is None:
            continue
        words = next(weighed)
        if explain:
            fields["explanation"] = explanation.to_dict(words)
        if highlights:
            fields["highlights"] = _highlights(hit, explanation, words)
    return shown


def _explained(task: Task, hit: Hit) -> Explanation | None:
    """None where that cannot be said: the hit has no text, its vectors are pooled, or the document has changed since."""
    task.check()
    try:
        return hit.explain()
    except InputError:
        return None


def _highlights(hit: Hit, explanation: Explanation, words: list[WordMatch]) -> list[dict[str, Any]]:
    """Stretches of the hit's text; those of the title, which the model reads before it, are left out."""
    before = len(explanation.text) - len(hit.text or "")
    return [
        {"start": one.start - before, "end": one.end - before, "weight": one.strength}
        for one in found_highlights(words)
        if one.start >= before
    ]
