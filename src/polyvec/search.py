"""Rows and scores -> hits a person can read: ids, texts and metadata from the catalog, in rank order.

Starts from query vectors and an open snapshot; knows nothing about models. How to search is `SearchOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.catalog import Catalog
from polyvec.index.options import SearchOptions
from polyvec.index.reader import Snapshot

if TYPE_CHECKING:
    from polyvec.explain import Explanation

__all__ = ["Hit", "SearchOptions", "search_snapshot"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. score: MaxSim, the sum over query tokens, higher is better · rank: from 1 · text: None without text."""

    id: str
    score: float
    rank: int
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
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
        return {"id": self.id, "score": self.score, "rank": self.rank, "text": self.text, "metadata": self.metadata}


def search_snapshot(
    snapshot: Snapshot,
    catalog: Catalog,
    query: npt.NDArray[np.float32],
    options: SearchOptions,
    *,
    subset: Sequence[str] | None = None,
    threads: int | None = None,
    explain: Callable[[int, str], Explanation] | None = None,
) -> list[Hit]:
    """Search one query, (q, d) float32 unit rows, and read the winners' texts.

    subset: ids to choose from; unknown ids are passed over · explain: called with (row, encoded text) by Hit.explain().
    """
    rows_allowed = None
    if subset is not None:
        rows_allowed = np.array(sorted(catalog.rows_of(subset).values()), dtype=np.int64)
    rows, scores = snapshot.search(query, options, subset=rows_allowed, threads=threads)
    documents = catalog.documents(rows.tolist())
    hits = []
    # a compaction of this same Index in another thread may have moved the catalog on since: such rows are deleted
    alive = [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row in documents]
    for rank, (row, score) in enumerate(alive, start=1):
        document = documents[row]
        explainer = None
        if explain is not None and document.text is not None:
            explainer = _bind(explain, row, Document(document.id, document.text, document.metadata).encoded_text)
        hits.append(Hit(document.id, score, rank, document.text, document.metadata, explainer))
    return hits


def _bind(explain: Callable[[int, str], Explanation], row: int, text: str) -> Callable[[], Explanation]:
    return lambda: explain(row, text)
