"""A query and a list of texts, or a whole run -> the same texts, best first. No index needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polyvec.arguments import instance, list_of, thread_count, token_encoder, whole_number
from polyvec.data import Document, Query, Run, as_documents
from polyvec.data.judged import check_scores
from polyvec.data.text import checked_query
from polyvec.errors import InputError
from polyvec.scoring import default_threads, maxsim
from polyvec.search.explain import Explanation, explain
from polyvec.search.hits import Hit
from polyvec.search.retrieve import highest_score, normalized_score

if TYPE_CHECKING:
    from polyvec.encoder import Encoded, TokenEncoder


def rerank(
    query: str,
    documents: Iterable[str | Document | Mapping[str, Any]],
    *,
    encoder: TokenEncoder,
    k: int | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """Order documents by exact MaxSim with the query. No index is needed.

    Args:
        query: The question.
        documents: Texts (their ids are "0", "1", ...), documents, or dicts with id and text.
        encoder: The model.
        k: How many to return; None for all.
        threads: How many to compute scores with; None for every processor this process may use.

    Returns:
        Hits, best first, ties in the given order.

    Raises:
        InputError: A text is empty, an id comes twice, or k is below 1.
    """
    query = checked_query(query, "query")
    token_encoder("encoder", encoder)
    if k is not None:
        k = whole_number("k", k, of="hits")
    threads = thread_count(threads, default_threads)
    items = enumerate(list_of("documents", documents))
    given = list(as_documents({"id": i, "text": d} if isinstance(d, str) else d for i, d in items))
    if not given:
        return []
    _check_distinct(given)
    (encoded_query,) = encoder.stream_queries([query])
    encoded = list(encoder.stream_documents(document.encoded_text for document in given))
    scores = maxsim(encoded_query.vectors, [e.vectors for e in encoded], threads=threads)
    best = np.lexsort((np.arange(len(scores)), -scores))[:k]
    highest = highest_score(encoded_query.vectors)
    hits = []
    for rank, i in enumerate(best.tolist(), start=1):
        document = given[i]
        hits.append(
            Hit(
                id=document.id,
                score=float(scores[i]),
                rank=rank,
                text=document.text,
                metadata=document.metadata,
                normalized_score=normalized_score(float(scores[i]), highest),
            ).explained_by(_Explainer(query, encoded_query, document.encoded_text, encoded[i]))
        )
    return hits


def rerank_run(
    run: Run, queries: Sequence[Query], documents: Iterable[Document], *, encoder: TokenEncoder, k: int | None = None
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Score the documents of a run anew.

    Each document that the run names is encoded once; their vectors are held in memory.

    Args:
        run: Scores by document id, by query id.
        queries: Those of the run, and maybe more.
        documents: Those of the run, and maybe more; streamed.
        encoder: The model.
        k: How many to return for each query; None for all.

    Returns:
        (query id, [(document id, score), ...]) for each query of the run, best first, ties in the run's order.

    Raises:
        InputError: A query or a document of the run is not given, or an id comes twice.
    """
    token_encoder("encoder", encoder)
    if k is not None:
        k = whole_number("k", k, of="hits")
    check_scores("run", run)
    queries = [instance(f"queries[{i}]", query, Query) for i, query in enumerate(list_of("queries", queries))]
    texts = {query.id: query.text for query in queries}
    missing = [query_id for query_id in run if query_id not in texts]
    if missing:
        raise InputError(f"The run has query {missing[0]!r}, which is not among the {len(texts)} queries given.")
    wanted = {document_id for scores in run.values() for document_id in scores}
    named = [document for document in as_documents(documents) if document.id in wanted]
    _check_distinct(named)
    absent = wanted - {document.id for document in named}
    if absent:
        raise InputError(f"The run names {len(absent)} documents that are not given, {min(absent)!r} among them.")
    encoded = encoder.stream_documents(document.encoded_text for document in named)
    vectors = {document.id: one.vectors for document, one in zip(named, encoded, strict=True)}
    results = []
    for query_id, one in zip(run, encoder.stream_queries(texts[query_id] for query_id in run), strict=True):
        ids = list(run[query_id])
        scores = maxsim(one.vectors, [vectors[document_id] for document_id in ids])
        best = np.lexsort((np.arange(len(ids)), -scores))[:k]
        results.append((query_id, [(ids[i], float(scores[i])) for i in best.tolist()]))
    return results


def _check_distinct(documents: Sequence[Document]) -> None:
    """Raise InputError for an id that comes twice: the id is what identifies a hit."""
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise InputError(
                f"documents: the id {document.id!r} comes twice. Make ids unique: they identify hits. "
                "Texts without ids get their places, '0', '1', ..."
            )
        seen.add(document.id)


class _Explainer:
    """Explains one hit from the vectors that scored it."""

    def __init__(self, query: str, encoded_query: Encoded, text: str, encoded: Encoded) -> None:
        self._arguments = (query, encoded_query, text, encoded)

    def __call__(self, hit: Hit) -> Explanation:
        return explain(*self._arguments)
