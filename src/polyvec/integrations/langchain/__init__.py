"""polyvec in LangChain: a vector store, a retriever and a reranker."""

from __future__ import annotations

from polyvec.errors import MissingExtraError

try:
    import langchain_core as _  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "polyvec.integrations.langchain needs langchain-core, which is not installed: pip install 'polyvec[langchain]'."
    ) from error

from polyvec.integrations.langchain.filters import PolyvecTranslator
from polyvec.integrations.langchain.reranker import PolyvecReranker
from polyvec.integrations.langchain.retriever import PolyvecRetriever
from polyvec.integrations.langchain.store import PolyvecVectorStore

__all__ = ["PolyvecReranker", "PolyvecRetriever", "PolyvecTranslator", "PolyvecVectorStore"]
