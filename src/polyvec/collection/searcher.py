"""The calls that one index, several as one, and a server far away have in common, with their types.

Names and types only. `Index` is a `Searcher`; a program that is written for one works with any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, overload

import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from polyvec.data import Document
    from polyvec.index.catalog.field_counts import FieldSummary
    from polyvec.index.engine.options import Fusion, Mode, SearchOptions
    from polyvec.index.writing.report import AddReport, Existing
    from polyvec.search.explain import Explanation
    from polyvec.search.hits import Hit


class VectorSearchKeywords(TypedDict, total=False):
    """Keywords of `search_vectors`: fields of SearchOptions, of which None leaves the one in `options` as it is; and two more."""

    k: int | None
    filter: Mapping[str, Any] | None
    subset: Iterable[str] | None
    min_score: float | None
    exact: bool | None
    recall: float | None
    nprobe: int | None
    candidates: int | None
    options: SearchOptions | None
    threads: int | None


class SearchKeywords(VectorSearchKeywords, total=False):
    """Keywords of `search`: those of `search_vectors`, and what only a text can be asked with."""

    mode: Mode | None
    fusion: Fusion | None
    weight: float | None


class Searcher(Protocol):
    """Documents that can be searched and changed; see `Index` for what each call does."""

    @property
    def name(self) -> str:
        """What the collection is called: for an index, the name of its folder."""

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""

    # -- searching -----------------------------------------------------------------------------------------------------

    @overload
    def search(self, query: str, /, **keywords: Unpack[SearchKeywords]) -> list[Hit]: ...  # type: ignore[overload-overlap]
    @overload
    def search(self, query: Sequence[str], /, **keywords: Unpack[SearchKeywords]) -> list[list[Hit]]: ...

    @overload
    def search_vectors(  # type: ignore[overload-overlap]  # a list of arrays can be read as one array too
        self, query: Sequence[npt.ArrayLike], /, **keywords: Unpack[VectorSearchKeywords]
    ) -> list[list[Hit]]: ...
    @overload
    def search_vectors(self, query: npt.ArrayLike, /, **keywords: Unpack[VectorSearchKeywords]) -> list[Hit]: ...

    def explain(self, query: str, hit: Hit) -> Explanation:
        """Which token of the query met which token of the hit's document, and how well."""

    # -- reading -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int: ...

    def __contains__(self, document_id: str) -> bool: ...

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The stored documents in the order asked for, None where an id is not stored."""

    def scan(
        self, *, filter: Mapping[str, Any] | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[Document]:
        """Stored documents in the order of their ids, streamed; `after` goes on behind an id."""

    def fields(self, *, limit: int = 20) -> dict[str, FieldSummary]:
        """What the metadata holds, by field."""

    def info(self) -> dict[str, Any]:
        """Counts, sizes, languages, model and codec, as plain JSON values."""

    def refresh(self) -> None:
        """Move on to the newest committed state."""

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(self, documents: Iterable[Document | Mapping[str, Any]], *, existing: Existing = "error") -> AddReport:
        """Encode and store documents, all of them or none."""

    def update(self, documents: Iterable[Document | Mapping[str, Any]]) -> AddReport:
        """Replace documents by id, and add the ones that are new, all of them or none."""

    def update_metadata(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Change metadata alone, all of it or nothing."""

    def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors that come ready, all of them or none."""

    def delete(self, ids: Iterable[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id or by a filter on metadata. Returns how many there were."""

    def close(self) -> None:
        """Let go of everything that is held; safe to call twice."""
