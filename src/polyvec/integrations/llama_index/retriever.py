"""A polyvec index as LlamaIndex's retriever: a question in, nodes out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores import MetadataFilters

from polyvec.arguments import whole_number
from polyvec.integrations.conditions import all_of, one_of
from polyvec.integrations.llama_index.filters import filter_of
from polyvec.integrations.llama_index.nodes import SOURCE_FIELD, node_of
from polyvec.integrations.target import opened


class PolyvecRetriever(BaseRetriever):
    """Retrieves the best nodes of an index. Scores are from 0 to 1, but for BM25 in mode keyword.

    Args:
        index: A path, or an open `polyvec.Index` or another object with its methods.
        similarity_top_k: Nodes to return.
        filters: A filter on metadata.
        node_ids: Only nodes with these ids.
        doc_ids: Only nodes of these documents.
        search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"}.
        callback_manager: As LlamaIndex has it.

    Raises:
        InputError: similarity_top_k is below 1, or a filter cannot be expressed.
    """

    def __init__(
        self,
        index: Any,
        *,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: MetadataFilters | None = None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
        search_options: dict[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._index = opened(index)
        self.similarity_top_k = whole_number("similarity_top_k", similarity_top_k, of="nodes")
        condition = filter_of(filters)
        if doc_ids is not None:
            condition = all_of([*([condition] if condition else []), one_of(SOURCE_FIELD, list(doc_ids))])
        self._keywords = {**(search_options or {}), "k": self.similarity_top_k, "filter": condition}
        if node_ids is not None:
            self._keywords["subset"] = list(node_ids)
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._index.search(query_bundle.query_str, **self._keywords)
        return [
            NodeWithScore(
                node=node_of(hit.id, hit.text, hit.metadata),
                score=hit.score if hit.normalized_score is None else hit.normalized_score,
            )
            for hit in hits
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
