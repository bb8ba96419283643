"""What a search returns: one hit a document, plain data but for the way to explain it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from polyvec.errors import InputError

if TYPE_CHECKING:
    from polyvec.search.explain import Explanation


class Explainer(Protocol):
    """Explains the hits of one query."""

    def __call__(self, hit: Hit, /) -> Explanation:
        """Which query token met which token of the hit's document.

        Args:
            hit: A hit of that query.

        Returns:
            The matches.

        Raises:
            InputError: That cannot be said.
        """


class _Explainable:
    """What a hit has beside its data: who explains it. No field, so neither compared, copied, pickled nor shown."""

    __slots__ = ("_explainer",)


@dataclass(frozen=True, slots=True)
class Hit(_Explainable):
    """One result of a search; higher scores are better.

    Plain data: hits can be compared, copied and pickled, and outlive their index. Only `explain` asks the index again.

    Attributes:
        id: The document's id.
        score: In mode late MaxSim, the sum over query tokens of the best similarity; in mode keyword BM25; in mode hybrid what
            fusion makes of both.
        rank: Its place among the hits, from 1.
        text: The document's text; None where only vectors were stored.
        metadata: The document's fields.
        normalized_score: MaxSim as a share of the highest one that this query could get, in [0, 1], whatever else is found; None
            in mode keyword.
        parts: What a hybrid score is made of: "late", the document's MaxSim, and "keyword", its BM25 where it has one.
        ranks: Its places from 1 in the lists "late" and "keyword" that were fused, where it is in them.
    """

    id: str
    score: float
    rank: int
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    normalized_score: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> Any:
        """The document's title as its metadata has it: usually a string, None where there is none."""
        return self.metadata.get("title")

    @property
    def lang(self) -> Any:
        """The document's language as its metadata has it: usually a string, None where there is none."""
        return self.metadata.get("lang")

    def explained_by(self, explainer: Explainer | None) -> Hit:
        """Say who is asked when this hit is to be explained.

        Args:
            explainer: Knows the query; None for nobody.

        Returns:
            This hit.
        """
        object.__setattr__(self, "_explainer", explainer)
        return self

    def explain(self) -> Explanation:
        """Which query token met which document token, and how well.

        Raises:
            InputError: The hit has no text, was found by vectors alone, is a copy, or its index is closed, collected, or holds
                another text under this id by now. `Index.explain(query, hit)` needs an open index only.
        """
        explainer: Explainer | None = getattr(self, "_explainer", None)
        if explainer is None:
            raise InputError(
                f"Hit {self.id!r} does not know its query: it was found by vectors alone, copied, or unpickled. Use "
                "index.explain(query, hit)."
            )
        return explainer(self)

    def to_dict(self) -> dict[str, Any]:
        """The hit as plain JSON values."""
        shown = {
            "id": self.id,
            "score": self.score,
            "normalized_score": self.normalized_score,
            "rank": self.rank,
            "text": self.text,
            "metadata": self.metadata,
        }
        return {**shown, "parts": self.parts, "ranks": self.ranks} if self.parts else shown
