"""Rows and scores -> hits a person can read: ids, texts and metadata from the catalog, in rank order.

Starts from query vectors and an open snapshot; knows nothing about models. How to search is `SearchOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.catalog import Catalog, StoredDocument
from polyvec.index.options import SearchOptions
from polyvec.index.reader import Snapshot

if TYPE_CHECKING:
    from polyvec.explain import Explanation

__all__ = ["Asked", "Hit", "SearchOptions", "allowed_rows", "search_snapshot"]

_FUSION_DEPTH = 100  # hits of each kind that are fused, at least
_FUSION_CONSTANT = 60


@dataclass(frozen=True, slots=True)
class Hit:
    """One result, rank from 1; text is None where only vectors were stored. Higher scores are better.

    score: MaxSim, the sum over query tokens (mode late); BM25 (keyword); the sum of reciprocal ranks (hybrid) ·
    parts: what a hybrid score is made of, the late and keyword scores of the document where it has them.
    """

    id: str
    score: float
    rank: int
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    _explain: Callable[[], Explanation] | None = field(default=None, repr=False, compare=False)

    @property
    def title(self) -> str | None:
        """The document's title, where its metadata has one."""
        return self.metadata.get("title")

    @property
    def lang(self) -> str | None:
        """The document's language, where its metadata has one."""
        return self.metadata.get("lang")

    def explain(self) -> Explanation:
        """Which query token met which document token, and how well.

        Raises InputError for a hit without text, or found by vectors alone.
        """
        if self._explain is None:
            raise InputError(
                f"Hit {self.id!r} cannot be explained: it was found by vectors alone, or has no stored text."
            )
        return self._explain()

    def to_dict(self) -> dict[str, Any]:
        """The hit as plain JSON values."""
        shown = {"id": self.id, "score": self.score, "rank": self.rank, "text": self.text, "metadata": self.metadata}
        return {**shown, "parts": self.parts} if self.parts else shown


@dataclass(frozen=True, slots=True)
class Asked:
    """One query: its text for keywords, its token vectors (q, d) float32 unit rows for MaxSim; either may be absent.

    explain: called with (row, encoded text) by Hit.explain().
    """

    text: str | None = None
    vectors: npt.NDArray[np.float32] | None = None
    explain: Callable[[int, str], Explanation] | None = None


def allowed_rows(
    catalog: Catalog, subset: Sequence[str] | None, condition: Mapping[str, Any] | None
) -> npt.NDArray[np.int64] | None:
    """Ascending rows of the ids in `subset` (unknown ones are passed over) that satisfy a filter; None: all rows."""
    rows = None if condition is None else catalog.rows_where(condition)
    if subset is None:
        return rows
    chosen = np.array(sorted(catalog.rows_of(subset).values()), dtype=np.int64)
    return chosen if rows is None else np.intersect1d(chosen, rows, assume_unique=True)


def search_snapshot(
    snapshot: Snapshot,
    catalog: Catalog,
    query: Asked,
    options: SearchOptions,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """Search one query and read the winners' texts. allowed: ascending rows to choose from, None for all.

    Raises InputError where the mode needs a text and there is none.
    """
    depth = options if options.mode != "hybrid" else replace(options, k=max(options.k, _FUSION_DEPTH))
    ranked: dict[str, dict[int, float]] = {}
    if options.mode in ("late", "hybrid"):
        if query.vectors is None:
            raise InputError(f"mode={options.mode!r} needs token vectors of the query.")
        rows, scores = snapshot.search(query.vectors, depth, subset=allowed, threads=threads)
        ranked["late"] = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    if options.mode in ("keyword", "hybrid"):
        if query.text is None:
            raise InputError(f"mode={options.mode!r} needs the query's text: ask with Index.search.")
        rows, found = catalog.search_keywords(query.text, depth.k, subset=allowed)
        ranked["keyword"] = dict(zip(rows.tolist(), found.tolist(), strict=True))
    if options.mode == "hybrid":
        return _hits(catalog, _fused(ranked)[: options.k], query, ranked)
    return _hits(catalog, list(ranked[options.mode].items()), query, {})


def _fused(ranked: dict[str, dict[int, float]]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): the sum of 1 / (60 + rank), ties by row."""
    scores: dict[int, float] = {}
    for result in ranked.values():
        for rank, row in enumerate(result, start=1):
            scores[row] = scores.get(row, 0.0) + 1.0 / (_FUSION_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _hits(
    catalog: Catalog, ranked: list[tuple[int, float]], query: Asked, parts: dict[str, dict[int, float]]
) -> list[Hit]:
    documents = catalog.documents(row for row, _ in ranked)
    hits: list[Hit] = []
    for row, score in ranked:
        document = documents.get(row)
        if document is None:  # a compaction of this same Index in another thread moved the catalog on: it is deleted
            continue
        hits.append(
            Hit(
                id=document.id,
                score=score,
                rank=len(hits) + 1,
                text=document.text,
                metadata=document.metadata,
                parts={name: scores[row] for name, scores in parts.items() if row in scores},
                _explain=_explainer(query, document),
            )
        )
    return hits


def _explainer(query: Asked, document: StoredDocument) -> Callable[[], Explanation] | None:
    explain = query.explain
    if explain is None or document.text is None:
        return None
    text = Document(document.id, document.text, document.metadata).encoded_text
    return lambda: explain(document.row, text)
