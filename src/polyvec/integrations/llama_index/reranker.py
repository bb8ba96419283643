"""Late-interaction reranking as LlamaIndex's node postprocessor: nodes in, the best of them out."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from polyvec.errors import InputError
from polyvec.integrations.target import encoder_of
from polyvec.search.rerank import rerank


class PolyvecReranker(BaseNodePostprocessor):
    """Orders nodes by exact MaxSim with the question, and keeps the best. Async calls run in a thread.

    Attributes:
        model: Name or folder of a model, or an encoder; None for the one that ships with polyvec. It is loaded on first use.
        top_n: Nodes to keep; None for all.
    """

    model: Any = Field(default=None, exclude=True)
    top_n: int | None = Field(default=5, ge=1)
    _encoder: Any = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex writes."""
        return "PolyvecReranker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Nodes, best first, with scores from 0 to 1."""
        if query_bundle is None:
            raise InputError("PolyvecReranker needs the question. Give query_str= or query_bundle=.")
        if self._encoder is None:
            self._encoder = encoder_of(self.model)
        texts = [found.node.get_content(metadata_mode=MetadataMode.NONE) for found in nodes]
        hits = rerank(query_bundle.query_str, texts, encoder=self._encoder, k=self.top_n)
        return [NodeWithScore(node=nodes[int(hit.id)].node, score=hit.normalized_score) for hit in hits]
