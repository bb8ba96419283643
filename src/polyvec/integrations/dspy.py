"""polyvec in DSPy: a module that retrieves passages, to be used inside programs.

retrieve = PolyvecRetriever("wiki.polyvec", k=3)
retrieve("why is the sky blue?").passages
"""

from __future__ import annotations

import asyncio
from typing import Any

from polyvec.arguments import whole_number
from polyvec.errors import MissingExtraError
from polyvec.integrations.target import opened

try:
    import dspy
except ImportError as error:
    raise MissingExtraError(
        "polyvec.integrations.dspy needs dspy, which is not installed: pip install 'polyvec[dspy]'."
    ) from error


class PolyvecRetriever(dspy.Module):
    """Retrieves the best passages of an index. Copies that optimizers make of a program share the index.

    Args:
        index: A path, or an open `polyvec.Index` or another object with its methods.
        k: Passages to return.
        search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"} or a filter.
    """

    def __init__(self, index: Any, *, k: int = 3, search_options: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.k = whole_number("k", k, of="passages")
        self.search_options = dict(search_options or {})
        self._shared = _Shared(opened(index))

    def forward(self, query: str, k: int | None = None) -> dspy.Prediction:
        """The best passages for a question in any language.

        Args:
            query: The question.
            k: Passages to return, in place of the module's.

        Returns:
            `passages` (texts), `ids`, `scores` and `metadata`, best first.
        """
        return self._found(query, k)

    async def aforward(self, query: str, k: int | None = None) -> dspy.Prediction:
        """`forward` in a thread; the event loop stays free."""
        return await asyncio.to_thread(self._found, query, k)

    def _found(self, query: str, k: int | None) -> dspy.Prediction:
        hits = self._shared.index.search(query, **{**self.search_options, "k": self.k if k is None else k})
        return dspy.Prediction(
            passages=[hit.text or "" for hit in hits],
            ids=[hit.id for hit in hits],
            scores=[hit.score for hit in hits],
            metadata=[hit.metadata for hit in hits],
        )


class _Shared:
    """Holds an index, and stays itself where a program is copied: an index cannot be."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def __copy__(self) -> _Shared:
        return self

    def __deepcopy__(self, memo: Any) -> _Shared:
        return self
