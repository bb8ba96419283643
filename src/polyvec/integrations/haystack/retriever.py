"""Late-interaction retrieval as Haystack's retriever: a question in, documents out."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import Document as HaystackDocument
from haystack import component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from polyvec.errors import InputError
from polyvec.integrations.haystack.store import PolyvecDocumentStore


@component
class PolyvecRetriever:
    """Retrieves the best documents of a PolyvecDocumentStore for a question in any language.

    Args:
        document_store: The store.
        filters: A filter on metadata that holds for every question.
        top_k: Documents to return.
        scale_score: Whether scores are from 0 to 1; otherwise they are MaxSim, BM25 or fused, by mode.
        filter_policy: Whether a filter of one question replaces `filters` or is joined with it.
        search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"}.

    Raises:
        InputError: Another kind of store, or top_k below 1.
    """

    def __init__(
        self,
        document_store: PolyvecDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
        search_options: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(document_store, PolyvecDocumentStore):
            raise InputError(f"document_store: got {type(document_store).__name__}, expected a PolyvecDocumentStore.")
        if top_k < 1:
            raise InputError(f"top_k={top_k}, expected at least 1.")
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        self.scale_score, self.search_options = scale_score, dict(search_options or {})
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy

    def to_dict(self) -> dict[str, Any]:
        """The component as plain values."""
        return default_to_dict(  # type: ignore[no-any-return]
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            scale_score=self.scale_score,
            filter_policy=self.filter_policy.value,
            search_options=self.search_options,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PolyvecRetriever:
        """A component as `to_dict` wrote it."""
        retriever: PolyvecRetriever = default_from_dict(cls, data)
        return retriever

    @component.output_types(documents=list[HaystackDocument])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
    ) -> dict[str, list[HaystackDocument]]:
        """The best documents for a question.

        Args:
            query: The question.
            filters: A filter on metadata for this question.
            top_k: Documents to return, in place of the component's.
            scale_score: Whether scores are from 0 to 1, in place of the component's.

        Returns:
            "documents": with scores, best first.

        Raises:
            FilterError: Haystack's: a filter is malformed, or asks for what an index cannot tell.
        """
        documents = self.document_store.retrieve(
            query,
            filters=apply_filter_policy(self.filter_policy, self.filters, filters),
            top_k=self.top_k if top_k is None else top_k,
            scale_score=self.scale_score if scale_score is None else scale_score,
            search_options=self.search_options,
        )
        return {"documents": documents}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
    ) -> dict[str, list[HaystackDocument]]:
        """`run` in a thread; the event loop stays free."""
        found: dict[str, list[HaystackDocument]] = await asyncio.to_thread(
            self.run, query, filters=filters, top_k=top_k, scale_score=scale_score
        )
        return found
