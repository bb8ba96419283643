"""Late-interaction reranking as LangChain's document compressor: documents in, the best of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document as LangChainDocument
from langchain_core.documents.compressor import BaseDocumentCompressor
from pydantic import ConfigDict, Field, PrivateAttr

from polyvec.integrations.target import encoder_of
from polyvec.search.rerank import rerank


class PolyvecReranker(BaseDocumentCompressor):
    """Orders documents by exact MaxSim with the question, and keeps the best.

    Attributes:
        model: A model's name or folder, or an encoder; None for the one that ships with polyvec.
        top_n: Documents to keep; None for all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: Any = None
    top_n: int | None = Field(default=3, ge=1)
    _encoder: Any = PrivateAttr(default=None)

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> list[LangChainDocument]:
        """Documents, best first; each a copy with its score from 0 to 1 as metadata "relevance_score"."""
        given = list(documents)
        texts = [document.page_content for document in given]
        found = []
        for hit in rerank(query, texts, encoder=self._loaded(), k=self.top_n):
            document = given[int(hit.id)]
            metadata = {**document.metadata, "relevance_score": hit.normalized_score}
            found.append(document.model_copy(update={"metadata": metadata}))
        return found

    def _loaded(self) -> Any:
        if self._encoder is None:
            self._encoder = encoder_of(self.model)
        return self._encoder
