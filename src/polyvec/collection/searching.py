"""Questions to an open index -> hits. Texts are encoded here; vectors of a caller's own need no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from polyvec.arguments import instance, thread_count
from polyvec.collection.arrivals import encoded_queries, query_texts
from polyvec.collection.opened import Opened
from polyvec.errors import InputError
from polyvec.index.engine.options import Fusion, Mode, SearchOptions
from polyvec.index.views import ReadableView
from polyvec.index.writing.vectors import checked_vectors, query_arrays
from polyvec.scoring import default_threads
from polyvec.search.hits import Hit
from polyvec.search.queries import closed_error, explain_hit, prepared_queries
from polyvec.search.retrieve import PreparedQuery, allowed_rows, search_each

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from polyvec.collection.searcher import SearchKeywords, VectorSearchKeywords
    from polyvec.encoder import Encoded
    from polyvec.search.explain import Explanation


class Searching(Opened):
    """Searches one committed state; safe to share between threads."""

    @overload
    def search(self, query: str, **keywords: Unpack[SearchKeywords]) -> list[Hit]: ...  # type: ignore[overload-overlap]
    @overload
    def search(self, query: Sequence[str], **keywords: Unpack[SearchKeywords]) -> list[list[Hit]]: ...

    def search(
        self,
        query: str | Sequence[str],
        *,
        k: int | None = None,
        mode: Mode | None = None,
        fusion: Fusion | None = None,
        weight: float | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Iterable[str] | None = None,
        min_score: float | None = None,
        exact: bool | None = None,
        recall: float | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a question in any language; a list of questions gives a list of lists.

        Args:
            query: One question, or a list of them.
            k: Hits to return for each; 10 unless said otherwise.
            mode: "late" (MaxSim, the default), "keyword" (BM25, needs no model) or "hybrid" (both, fused).
            fusion: How "hybrid" joins the two: "weight" (of scores, the default) or "rank" (reciprocal ranks).
            weight: Share of MaxSim in "hybrid", from 0 to 1; keywords have the rest.
            filter: On metadata, in the Mongo style: `{"lang": "de", "year": {"$gte": 2000}}`.
            subset: Ids to choose from; unknown ones are passed over.
            min_score: Lowest normalized score of a hit, from 0 to 1.
            exact: Whether every document is scored; no candidate generation.
            recall: Share of the exact top 10 to find, below 1; sets nprobe and candidates.
            nprobe: Centroids to probe for each query token.
            candidates: Documents to score approximately, at most.
            options: What holds where a keyword is left out.
            threads: Threads to search with; None for every processor this process may use.

        Returns:
            At most k hits, best first, ties in the order of adding; for a list of questions, such a list for each of them.

        Raises:
            InputError: A question is empty or too long, a value makes no sense, or the index has no model and needs one.
            FilterError: The filter does not parse.
        """
        chosen = _chosen(
            options, k=k, mode=mode, fusion=fusion, weight=weight, filter=filter, subset=subset, min_score=min_score, exact=exact,
            recall=recall, nprobe=nprobe, candidates=candidates,
        )  # fmt: skip
        texts, single = query_texts(query)
        threads = thread_count(threads, default_threads)
        with self._current() as view:
            texts_of = prepared_queries(texts, chosen, lambda: self.encoder, self._explain_found)
            results = self._search_each(view, encoded_queries(texts_of, dim=self.dim), chosen, threads)
        return results[0] if single else results

    @overload
    def search_vectors(  # type: ignore[overload-overlap]  # a list of arrays can be read as one array too
        self, query: Sequence[npt.ArrayLike], **keywords: Unpack[VectorSearchKeywords]
    ) -> list[list[Hit]]: ...
    @overload
    def search_vectors(self, query: npt.ArrayLike, **keywords: Unpack[VectorSearchKeywords]) -> list[Hit]: ...

    def search_vectors(
        self,
        query: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        subset: Iterable[str] | None = None,
        min_score: float | None = None,
        exact: bool | None = None,
        recall: float | None = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        options: SearchOptions | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """The best documents for a query's token vectors. Needs no model.

        Args:
            query: One query: an array or torch tensor (q, dim), of any real dtype. Several: a list of such, or one array
                (n, q, dim), which a type checker takes for one query: give `list(array)` there. Rows are scaled to length 1.
            k: Hits to return for each; 10 unless said otherwise.
            filter: On metadata, as `search` has it.
            subset: Ids to choose from; unknown ones are passed over.
            min_score: Lowest normalized score of a hit, from 0 to 1.
            exact: Whether every document is scored; no candidate generation.
            recall: Share of the exact top 10 to find, below 1; sets nprobe and candidates.
            nprobe: Centroids to probe for each query token.
            candidates: Documents to score approximately, at most.
            options: What holds where a keyword is left out.
            threads: Threads to search with; None for every processor this process may use.

        Returns:
            At most k hits, best first, ties in the order of adding; for several queries, such a list for each of them.

        Raises:
            InputError: A query has a wrong dim, no rows, or a row that is all zeros or not finite; or a value makes no sense.
            FilterError: The filter does not parse.
        """
        chosen = _chosen(
            options, k=k, filter=filter, subset=subset, min_score=min_score, exact=exact, recall=recall, nprobe=nprobe,
            candidates=candidates,
        )  # fmt: skip
        arrays, single = query_arrays(query)
        asked = [
            PreparedQuery(vectors=checked_vectors(one, dim=self.dim, name=f"query {i}")) for i, one in enumerate(arrays)
        ]
        threads = thread_count(threads, default_threads)
        with self._current() as view:
            results = self._search_each(view, asked, chosen, threads)
        return results[0] if single else results

    def _search_each(
        self, view: ReadableView, queries: Iterable[PreparedQuery], options: SearchOptions, threads: int
    ) -> list[list[Hit]]:
        """The hits of each query in one committed state."""
        allowed, plain = _restricted(view, options)
        return search_each(view.snapshot, view.catalog, queries, plain, allowed=allowed, threads=threads)

    def explain(self, query: str, hit: Hit) -> Explanation:
        """Which token of the query met which token of the hit's document, and how well; as `hit.explain()` says it.

        Args:
            query: The question, as text, whatever the mode that found the hit.
            hit: A hit of this index, found in this process or another: only its id, text and metadata count.

        Returns:
            The matches, which add up to the MaxSim score.

        Raises:
            InputError: The hit has no text, or its document was deleted or has another text by now.
        """
        if not isinstance(query, str) or not isinstance(hit, Hit):
            raise InputError(
                f"explain({type(query).__name__}, {type(hit).__name__}): expected the query's text and a Hit of a search."
            )
        with self._current() as view:
            return explain_hit(view, lambda: self.encoder, query, None, hit)

    def _explain_found(self, query: str, encoded: Encoded | None, hit: Hit) -> Explanation:
        """`explain` for a hit found here, whose query is encoded already."""
        if self._session.closed:
            raise closed_error(hit)
        with self._current() as view:
            return explain_hit(view, lambda: self.encoder, query, encoded, hit)


def _chosen(options: SearchOptions | None, **given: Any) -> SearchOptions:
    """The options with what was given beside them in their place."""
    given = {name: value for name, value in given.items() if value is not None}
    if options is None:
        return SearchOptions(**given)
    chosen = instance("options", options, SearchOptions)
    return replace(chosen, **given) if given else chosen


def _restricted(view: ReadableView, options: SearchOptions) -> tuple[npt.NDArray[np.int64] | None, SearchOptions]:
    """The rows that filter and subset leave, None for all, and the options without the two."""
    if options.filter is None and options.subset is None:
        return None, options
    allowed = allowed_rows(view.catalog, options.subset, options.filter)
    return allowed, options.unrestricted()
