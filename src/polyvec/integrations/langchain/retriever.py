"""A polyvec index as LangChain's retriever: a question in, documents out."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, model_validator

from polyvec.integrations.langchain.documents import document_of_hit
from polyvec.integrations.langchain.filters import filter_of
from polyvec.integrations.target import opened


class PolyvecRetriever(BaseRetriever):
    """Retrieves the best documents of an index; async calls run in LangChain's executor.

    Attributes:
        index: A path, or an open `polyvec.Index` or another object with its methods.
        k: Documents to return.
        filter: A filter on metadata: a dict, or a directive of a structured query.
        search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"}.
        scores: Whether each document's metadata has its score under "relevance_score".
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Any
    k: int = Field(default=4, ge=1)
    filter: Any = None
    search_options: dict[str, Any] = Field(default_factory=dict)
    scores: bool = False

    @model_validator(mode="after")
    def _open(self) -> PolyvecRetriever:
        self.index = opened(self.index)
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[LangChainDocument]:
        keywords = {"k": self.k, "filter": self.filter, **self.search_options, **kwargs}
        keywords["filter"] = filter_of(keywords["filter"])
        found = []
        for hit in self.index.search(query, **keywords):
            document = document_of_hit(hit)
            if self.scores:
                document.metadata["relevance_score"] = (
                    hit.normalized_score if hit.normalized_score is not None else hit.score
                )
            found.append(document)
        return found
