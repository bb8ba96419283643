"""polyvec in LlamaIndex: an index, its retriever, and a reranker."""

from __future__ import annotations

from polyvec.errors import MissingExtraError

try:
    import llama_index.core as _  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "polyvec.integrations.llama_index needs llama-index-core, which is not installed: pip install 'polyvec[llama-index]'."
    ) from error

from polyvec.integrations.llama_index.index import PolyvecIndex
from polyvec.integrations.llama_index.reranker import PolyvecReranker
from polyvec.integrations.llama_index.retriever import PolyvecRetriever

__all__ = ["PolyvecIndex", "PolyvecReranker", "PolyvecRetriever"]
