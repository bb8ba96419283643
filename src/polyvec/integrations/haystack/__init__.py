"""polyvec in Haystack: a document store, a retriever and a ranker."""

from __future__ import annotations

from polyvec.errors import MissingExtraError

try:
    import haystack as _  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "polyvec.integrations.haystack needs haystack-ai, which is not installed: pip install 'polyvec[haystack]'."
    ) from error

from polyvec.integrations.haystack.ranker import PolyvecRanker
from polyvec.integrations.haystack.retriever import PolyvecRetriever
from polyvec.integrations.haystack.store import PolyvecDocumentStore

__all__ = ["PolyvecDocumentStore", "PolyvecRanker", "PolyvecRetriever"]
