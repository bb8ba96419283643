"""A polyvec index as Haystack's document store."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from haystack import Document as HaystackDocument
from haystack import default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError as HaystackFilterError

from polyvec.data import Document
from polyvec.errors import FilterError, InputError
from polyvec.integrations.haystack.documents import FIELD, dates_of, document_of_hit, document_of_stored, row_of
from polyvec.integrations.haystack.fields import Fields
from polyvec.integrations.haystack.filters import filter_of
from polyvec.integrations.target import explained, opened, path_or_index
from polyvec.search.explain import Explanation

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder


class PolyvecDocumentStore(Fields):
    """Documents in a polyvec index. No embedder is needed: token vectors come from the index's own model.

    The index is opened, or made, on first use. Methods may be called from several threads; those that end with "_async" run in
    a thread and leave the event loop free.

    Args:
        path: Where the index lies; it is made there if there is none.
        index: In place of a path: an open `polyvec.Index`, or another object with its methods.
        model: For an index at a path: name or folder of the model, or an encoder; default the index's own, or the one that ships
            with polyvec.
        nbits: Bits a dimension of an index that is made, as `polyvec.Index.create` has it.

    Raises:
        InputError: Neither path nor index is given, or both, or options for an index that is open.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        index: Any = None,
        model: str | TokenEncoder | None = None,
        nbits: int | None = None,
    ) -> None:
        path_or_index("PolyvecDocumentStore", path, index)
        self._path, self._model, self._nbits = path, model, nbits
        self._opening = threading.Lock()
        self._index = None if index is None else opened(index, model=model, nbits=nbits)

    @property
    def index(self) -> Any:
        """The open index."""
        if self._index is None:
            with self._opening:
                if self._index is None:
                    self._index = opened(self._path, model=self._model, nbits=self._nbits)
        return self._index

    def close(self) -> None:
        """Let go of the index; the next call opens one at a path again."""
        with self._opening:
            if self._index is not None:
                self._index.close()
                self._index = None if self._path is not None else self._index

    # -- settings ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The store as plain values, which a pipeline writes to YAML. The documents stay in the index.

        Raises:
            InputError: It was made from an encoder object, or from an index that has no path.
        """
        path = self._path if self._path is not None else getattr(self._index, "path", None)
        if path is None:
            raise InputError(
                f"A store of an open {type(self._index).__name__} has no path that could be written. Make it with path=."
            )
        if self._model is not None and not isinstance(self._model, str):
            raise InputError(
                f"A store with an encoder object ({type(self._model).__name__}) cannot be written. Give model= as a name or folder."
            )
        return default_to_dict(self, path=os.fspath(path), model=self._model, nbits=self._nbits)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PolyvecDocumentStore:
        """A store as `to_dict` wrote it."""
        store: PolyvecDocumentStore = default_from_dict(cls, data)
        return store

    # -- documents -----------------------------------------------------------------------------------------------------

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.index)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[HaystackDocument]:
        """The documents that satisfy a filter, in the order of their ids; without a filter all of them.

        Raises:
            FilterError: Haystack's: the filter is malformed, or asks for what an index cannot tell.
        """
        return [document_of_stored(document) for document in self._stored(filters)]

    def write_documents(self, documents: list[HaystackDocument], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Store documents; durable on return, all of them or none.

        Args:
            documents: What to store.
            policy: For an id that is there already. NONE is FAIL.

        Returns:
            How many were written.

        Raises:
            ValueError: Something else than a list of documents, no content, or metadata that JSON has no form for.
            DuplicateDocumentError: With policy FAIL: an id is there already, or comes twice. Nothing is written then.
        """
        if isinstance(documents, str) or not isinstance(documents, Iterable):
            raise InputError(f"documents: got {type(documents).__name__}, expected a list of documents.")
        given = list(documents)
        for one in given:
            if not isinstance(one, HaystackDocument):
                raise InputError(f"documents: got {type(one).__name__} among them, expected documents of Haystack.")
        if policy == DuplicatePolicy.OVERWRITE:
            self._add({one.id: one for one in given}.values(), "replace")
            return len(given)
        if policy == DuplicatePolicy.SKIP:
            first = {one.id: one for one in reversed(given)}
            return self._add([one for one in given if first[one.id] is one], "skip")
        return self._add_new(given)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there are passed over."""
        self.index.delete(list(document_ids))

    def delete_all_documents(self) -> None:
        """Delete every document."""
        self.index.delete([document.id for document in self.index.scan()])

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that satisfy a filter. Returns how many there were."""
        condition = _needed(filters)
        with _filter_errors():
            return int(self.index.delete(filter=condition))

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Change metadata of the documents that satisfy a filter; other fields stay. Returns how many there were."""
        _needed(filters)
        if FIELD in meta:
            raise InputError(f"meta: {FIELD!r} is a field that the store keeps for itself. Choose another name.")
        found = list(self._stored(filters))
        if "title" in meta or any(value is None for value in meta.values()):  # None would remove a field
            rows = [Document(d.id, d.text, _hiding({**d.metadata, **meta})) for d in found]
            if rows:
                self.index.add(rows, existing="replace")
        elif found:
            self.index.update_metadata({d.id: _changes(d, meta) for d in found})
        return len(found)

    def retrieve(
        self,
        query: str,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        search_options: dict[str, Any] | None = None,
    ) -> list[HaystackDocument]:
        """The best documents for a question in any language; what the retriever calls.

        Args:
            query: The question.
            filters: A filter on metadata.
            top_k: Documents to return.
            scale_score: Whether scores are from 0 to 1.
            search_options: Other keywords of `polyvec.Index.search`, such as {"mode": "hybrid"}.

        Returns:
            Documents with scores, best first.
        """
        condition = filter_of(filters)
        with _filter_errors():
            hits = self.index.search(query, k=top_k, filter=condition, **(search_options or {}))
        return [document_of_hit(hit, scaled=scale_score) for hit in hits]

    def explain(self, query: str, document: HaystackDocument) -> Explanation:
        """Why a document was found: which words of the question met which of its words.

        Args:
            query: The question.
            document: A stored document; only its id counts.

        Returns:
            The explanation; its `highlights()` are stretches of its `text` to mark.

        Raises:
            InputError: It is not stored any more.
        """
        return explained(self.index, query, document.id)

    # -- the same, async -----------------------------------------------------------------------------------------------

    async def count_documents_async(self) -> int:
        """`count_documents` in a thread."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[HaystackDocument]:
        """`filter_documents` in a thread."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[HaystackDocument], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents` in a thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents` in a thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """`delete_all_documents` in a thread."""
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`delete_by_filter` in a thread."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """`update_by_filter` in a thread."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    # -- beneath -------------------------------------------------------------------------------------------------------

    def _stored(self, filters: dict[str, Any] | None) -> Iterator[Document]:
        condition = filter_of(filters)
        with _filter_errors():
            yield from self.index.scan(filter=condition)

    def _add(self, documents: Iterable[HaystackDocument], existing: str) -> int:
        rows = [row_of(one) for one in documents]
        if not rows:
            return 0
        report = self.index.add(rows, existing=existing)
        return int(report.added + report.replaced)

    def _add_new(self, documents: list[HaystackDocument]) -> int:
        try:
            return self._add(documents, "error")
        except InputError:
            times = Counter(one.id for one in documents)
            stored = {document.id for document in self.index.get(list(times)) if document is not None}
            double = next((id for id in times if times[id] > 1 or id in stored), None)
            if double is None:
                raise
            raise DuplicateDocumentError(
                f"ID {double!r} is stored already, or comes twice. Choose another policy to overwrite or skip it."
            ) from None


def _needed(filters: Any) -> dict[str, Any]:
    condition = filter_of(filters)
    if condition is None:
        raise InputError("filters: got none, which would be all documents. Expected a filter.")
    return condition


def _changes(document: Document, meta: dict[str, Any]) -> dict[str, Any]:
    before = document.metadata.get(FIELD, {})
    after = dates_of({**_without(document.metadata), **meta}, before)
    return meta if after == before else {**meta, FIELD: after or None}


def _hiding(metadata: dict[str, Any]) -> dict[str, Any]:
    plain = _without(metadata)
    hidden = dates_of(plain, metadata.get(FIELD, {}))
    return {**plain, FIELD: hidden} if hidden else plain


def _without(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != FIELD}


@contextmanager
def _filter_errors() -> Iterator[None]:
    """polyvec's FilterError as Haystack's."""
    try:
        yield
    except FilterError as error:
        raise HaystackFilterError(str(error)) from None
