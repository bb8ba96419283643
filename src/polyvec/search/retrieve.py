"""Query vectors and an open snapshot -> hits, in rank order. Knows nothing about models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.arguments import thread_count
from polyvec.deadlines import keep_going
from polyvec.errors import InputError
from polyvec.index.catalog.protocol import ReadableCatalog
from polyvec.index.engine.options import SearchOptions
from polyvec.index.reader import Scope, Snapshot
from polyvec.scoring import default_threads
from polyvec.search import fusion
from polyvec.search.hits import Explainer, Hit

_FUSION_DEPTH = 100  # hits of each kind whose scores are fused, at least
# Queries that take each step together, at most: more gain little, and keep other threads waiting for Python.
_TOGETHER = 16
_SHARES = 4  # parts of a batch that each thread gets, at least: the others wait for the last one to end


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """One query, ready to search; text or vectors may be absent.

    Attributes:
        text: For keywords.
        vectors: For MaxSim: (q, d) float32, unit rows.
        explainer: What its hits ask when they are to be explained.
    """

    text: str | None = None
    vectors: npt.NDArray[np.float32] | None = None
    explainer: Explainer | None = None


def allowed_rows(
    catalog: ReadableCatalog, subset: Sequence[str] | None, condition: Mapping[str, Any] | None
) -> npt.NDArray[np.int64] | None:
    """The rows to choose from.

    Args:
        catalog: Of the committed state.
        subset: Ids; unknown ones are passed over. None for all.
        condition: A filter on metadata; None for all.

    Returns:
        (n,) int64, ascending: rows that satisfy both; None for all rows.

    Raises:
        FilterError: The filter does not parse.
    """
    rows = None if condition is None else catalog.rows_where(condition)
    if subset is None:
        return rows
    chosen = np.array(sorted(catalog.rows_of(subset).values()), dtype=np.int64)
    return chosen if rows is None else np.intersect1d(chosen, rows, assume_unique=True)


def search_snapshot(
    snapshot: Snapshot,
    catalog: ReadableCatalog,
    query: PreparedQuery,
    options: SearchOptions,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """Search one query and read the winners' texts, as `search_each` does for several.

    Args:
        snapshot: Token vectors of the committed state.
        catalog: Texts, metadata and keywords of the same state.
        query: The query.
        options: How to search; its filter and subset are ignored.
        allowed: Ascending rows to choose from; None for all.
        threads: How many to search with; None for every processor this process may use.

    Returns:
        At most options.k hits, best first, ties by row.

    Raises:
        InputError: The mode needs a text or token vectors, and the query has none.
    """
    return _search_some(snapshot, catalog, [query], options, snapshot.scope(allowed), threads)[0]


def search_each(
    snapshot: Snapshot,
    catalog: ReadableCatalog,
    queries: Iterable[PreparedQuery],
    options: SearchOptions,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[list[Hit]]:
    """Search every query: some on each thread where there are enough of them, else all threads on one after another.

    What may be returned is worked out once for all of them.

    Args:
        snapshot: Token vectors of the committed state.
        catalog: Texts, metadata and keywords of the same state.
        queries: The queries.
        options: How to search; its filter and subset are ignored.
        allowed: Ascending rows to choose from; None for all.
        threads: How many to search with; None for every processor this process may use.

    Returns:
        The hits of each query, in order, as `search_snapshot` has them.

    Raises:
        InputError: threads is below 1, or as `search_snapshot` has it.
    """
    count = thread_count(threads, default_threads)
    waiting = list(queries)
    scope = snapshot.scope(allowed)
    alone = count == 1 or len(waiting) < count
    size = _TOGETHER if alone else min(_TOGETHER, -(-len(waiting) // (_SHARES * count)))
    stretches = [waiting[first : first + size] for first in range(0, len(waiting), size)]

    def search(some: Sequence[PreparedQuery]) -> list[list[Hit]]:
        keep_going()
        return _search_some(snapshot, catalog, some, options, scope, count if alone else 1)

    if alone:
        return [hits for some in stretches for hits in search(some)]
    with ThreadPoolExecutor(count) as pool:
        return list(chain.from_iterable(pool.map(search, stretches)))


def _search_some(
    snapshot: Snapshot,
    catalog: ReadableCatalog,
    queries: Sequence[PreparedQuery],
    options: SearchOptions,
    scope: Scope,
    threads: int | None,
) -> list[list[Hit]]:
    """The hits of each query. All take one step, then all the next, which spares each the time to fill the caches anew."""
    for query in queries:
        if options.mode != "keyword" and query.vectors is None:
            raise InputError(f"mode={options.mode!r} needs token vectors of the query.")
        if options.mode != "late" and query.text is None:
            raise InputError(f"mode={options.mode!r} needs the query's text: ask with Index.search.")
    lists: list[dict[str, dict[int, float]]] = [{} for _ in queries]
    if options.mode != "keyword":
        vectors = [query.vectors for query in queries if query.vectors is not None]
        late = snapshot.search_each(vectors, of_each_list(options), scope, threads=threads)
        lists = [{"late": _scores(*one)} for one in late]
    found = [
        _found(snapshot, catalog, query, own, options, scope.rows, threads)
        for query, own in zip(queries, lists, strict=True)
    ]
    return [_hits(catalog, one, query, options.k) for query, one in zip(queries, found, strict=True)]


def highest_score(query: npt.NDArray[np.float32]) -> float:
    """The MaxSim of a query whose every token meets itself.

    Args:
        query: (q, d) float32.

    Returns:
        The sum of the lengths of its rows.
    """
    return float(np.sqrt(np.add.reduce(query * query, axis=1)).sum())


def normalized_score(score: float, highest: float) -> float:
    """MaxSim as a share of the query's `highest_score`, cut to [0, 1].

    With unit rows, which every model makes, that is the mean similarity of a query token's best match, so it compares across
    queries of different lengths and never depends on other documents.

    Args:
        score: MaxSim of a document.
        highest: `highest_score` of the query.

    Returns:
        The share; 0 where the query has no length.
    """
    return min(max(score / highest, 0.0), 1.0) if highest > 0 else 0.0


@dataclass
class _Found:
    """Rows and scores, best first; the lists they come from, by name; for hybrid, the raw scores behind each row."""

    ranked: list[tuple[int, float]]
    lists: dict[str, dict[int, float]]
    parts: dict[str, dict[int, float]] = field(default_factory=dict)
    normalized: dict[int, float] = field(default_factory=dict)


def _found(
    snapshot: Snapshot,
    catalog: ReadableCatalog,
    query: PreparedQuery,
    lists: dict[str, dict[int, float]],
    options: SearchOptions,
    allowed: npt.NDArray[np.int64] | None,
    threads: int | None,
) -> _Found:
    """What a query found. lists: by MaxSim where the mode asks for that; keywords are looked up here."""
    if options.mode != "late":
        assert query.text is not None
        depth = of_each_list(options)
        scored = lists.get("late", {}).keys()
        keyword = _scores(*catalog.search_keywords(query.text, depth.k, subset=allowed, scored=scored))
        lists["keyword"] = dict(islice(keyword.items(), depth.k))
    found = _Found(list(lists.get(options.mode, {}).items()), lists)
    if options.mode == "hybrid":
        found = _fused(snapshot, catalog, query, lists, keyword, options, threads)
    if options.mode != "keyword":
        assert query.vectors is not None
        late = found.parts.get("late") or lists["late"]
        highest = highest_score(query.vectors)
        found.normalized = {row: normalized_score(late[row], highest) for row, _ in found.ranked}
    lowest = options.min_score
    if lowest is not None:
        found.ranked = [(row, score) for row, score in found.ranked if found.normalized[row] >= lowest]
    return found


def _scores(rows: npt.NDArray[np.int64], scores: npt.NDArray[Any]) -> dict[int, float]:
    return dict(zip(rows.tolist(), scores.tolist(), strict=True))


def of_each_list(options: SearchOptions) -> SearchOptions:
    """The options with which each list is made that goes into the answer.

    Args:
        options: Of the search.

    Returns:
        The same; for hybrid with a larger k, as fusion looks deeper than at the hits wanted.
    """
    if options.mode != "hybrid":
        return options
    return replace(options, k=fusion.RANK_DEPTH if options.fusion == "rank" else max(options.k, _FUSION_DEPTH))


def _fused(
    snapshot: Snapshot,
    catalog: ReadableCatalog,
    query: PreparedQuery,
    lists: dict[str, dict[int, float]],
    keyword: dict[int, float],
    options: SearchOptions,
    threads: int | None,
) -> _Found:
    """Both lists as one, ties by row. Every document in one of them has both scores, whether the other side found it or not.

    keyword: BM25 of all rows in the lists that have a word of the query.
    """
    assert query.vectors is not None
    assert query.text is not None
    late = dict(lists["late"])
    others = np.array(sorted(keyword.keys() - late.keys()), np.int64)
    if len(others):
        whole = SearchOptions(k=len(others), exact=True)
        late.update(_scores(*snapshot.search(query.vectors, whole, subset=others, threads=threads)))
    if options.fusion == "rank":
        fused = fusion.by_rank(lists["late"], lists["keyword"], options.share_of_late)
    else:
        highest, bound = highest_score(query.vectors), catalog.keyword_bound(query.text)
        fused = fusion.by_weight(
            {row: fusion.share_of(score, highest) for row, score in late.items()},
            {row: fusion.share_of(score, bound) for row, score in keyword.items()},
            options.share_of_late,
        )
    return _Found(fusion.ordered(fused), lists, {"late": late, "keyword": keyword})


def _hits(catalog: ReadableCatalog, found: _Found, query: PreparedQuery, k: int) -> list[Hit]:
    documents = catalog.documents(row for row, _ in found.ranked[:k])
    places = {name: {row: n for n, row in enumerate(rows, start=1)} for name, rows in found.lists.items()}
    hits = []
    for rank, (row, score) in enumerate(found.ranked[:k], start=1):
        document = documents[row]
        hits.append(
            Hit(
                id=document.id,
                score=score,
                rank=rank,
                text=document.text,
                metadata=document.metadata,
                normalized_score=found.normalized.get(row),
                parts={name: scores[row] for name, scores in found.parts.items() if row in scores},
                ranks={name: rows[row] for name, rows in places.items() if row in rows} if found.parts else {},
            ).explained_by(query.explainer)
        )
    return hits
