"""Late-interaction reranking as Haystack's ranker: documents in, the best of them out."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haystack import Document as HaystackDocument
from haystack import component, default_from_dict, default_to_dict

from polyvec.errors import InputError
from polyvec.integrations.target import encoder_of
from polyvec.search.rerank import rerank

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


@component
class PolyvecRanker:
    """Orders documents by exact MaxSim with the question, and keeps the best. The model is loaded on first use.

    Args:
        model: Name or folder of the model, or an encoder; None for the one that ships with polyvec.
        top_k: Documents to keep; None for all.
        scale_score: Whether scores are from 0 to 1; otherwise they are MaxSim.
        score_threshold: Keep only documents with at least this score.

    Raises:
        InputError: top_k below 1.
    """

    def __init__(
        self,
        model: str | TokenEncoder | None = None,
        top_k: int | None = 10,
        scale_score: bool = True,
        score_threshold: float | None = None,
    ) -> None:
        _check_top_k(top_k)
        self.model, self.top_k = model, top_k
        self.scale_score, self.score_threshold = scale_score, score_threshold
        self._encoder: TokenEncoder | None = None
        self._loading = threading.Lock()

    def to_dict(self) -> dict[str, Any]:
        """The component as plain values.

        Raises:
            InputError: The model is an encoder object.
        """
        if self.model is not None and not isinstance(self.model, str):
            raise InputError(
                f"A ranker with an encoder object ({type(self.model).__name__}) cannot be written. Give model= as a name or folder."
            )
        return default_to_dict(  # type: ignore[no-any-return]
            self,
            model=self.model,
            top_k=self.top_k,
            scale_score=self.scale_score,
            score_threshold=self.score_threshold,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PolyvecRanker:
        """A component as `to_dict` wrote it."""
        ranker: PolyvecRanker = default_from_dict(cls, data)
        return ranker

    def warm_up(self) -> None:
        """Load the model, where it is not loaded yet."""
        with self._loading:
            if self._encoder is None:
                self._encoder = encoder_of(self.model)

    @component.output_types(documents=list[HaystackDocument])
    def run(
        self, query: str, documents: list[HaystackDocument], top_k: int | None = None
    ) -> dict[str, list[HaystackDocument]]:
        """Documents, best first; copies with their scores. Those without content are left out.

        Args:
            query: The question.
            documents: What to order. They are not changed.
            top_k: Documents to keep, in place of the component's.

        Returns:
            "documents": with scores, best first.
        """
        _check_top_k(top_k)
        self.warm_up()
        assert self._encoder is not None
        given = [document for document in documents if document.content is not None and document.content.strip()]
        limit = self.top_k if top_k is None else top_k
        hits = rerank(query, [document.content for document in given], encoder=self._encoder, k=limit)
        found = []
        for hit in hits:
            score = hit.normalized_score if self.scale_score else hit.score
            if self.score_threshold is None or (score is not None and score >= self.score_threshold):
                found.append(replace(given[int(hit.id)], score=score))
        return {"documents": found}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self, query: str, documents: list[HaystackDocument], top_k: int | None = None
    ) -> dict[str, list[HaystackDocument]]:
        """`run` in a thread; the event loop stays free."""
        found: dict[str, list[HaystackDocument]] = await asyncio.to_thread(self.run, query, documents, top_k)
        return found


def _check_top_k(top_k: int | None) -> None:
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k={top_k}, expected at least 1.")
