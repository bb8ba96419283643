"""What an index holds: documents by id or one after another, their metadata's fields, counts, and whether all is sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from polyvec.arguments import flag, function, local_path, whole_number
from polyvec.collection.opened import Opened
from polyvec.data import Document
from polyvec.data.document import checked_id, checked_ids
from polyvec.index.catalog.catalog import StoredDocument
from polyvec.index.catalog.field_counts import FieldSummary
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.place import absolute


class Reading(Opened):
    """Reads one committed state, and needs no model."""

    def __len__(self) -> int:
        with self._current() as view:
            return len(view.catalog)

    def __contains__(self, document_id: str) -> bool:
        wanted = checked_id(document_id, "`in`")
        with self._current() as view:
            return bool(view.catalog.rows_of([wanted]))

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The stored documents in the order asked for, None where an id is not stored.

        Args:
            ids: A list, or any iterable, of ids.

        Returns:
            One entry an id. The text is "" where only vectors were stored.

        Raises:
            InputError: `ids` is one string in place of a list, or holds what cannot be an id.
        """
        wanted = list(checked_ids("ids", ids))
        with self._current() as view:
            found = view.catalog.documents(view.catalog.rows_of(wanted).values())
        stored = {d.id: _document(d) for d in found.values()}
        return [stored.get(document_id) for document_id in wanted]

    def documents(self) -> Iterator[Document]:
        """Every stored document in the order of adding, streamed.

        Returns:
            The documents; one that was updated comes where it was stored last.
        """
        with self._current() as view:
            for d in view.catalog.all_documents():
                yield _document(d)

    def scan(
        self, *, filter: Mapping[str, Any] | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[Document]:
        """Stored documents in the order of their ids, streamed: page by page with `after` and `limit`.

        Ids are ordered by code point, as Python orders strings. The order does not change with updates, and `after` may have been
        deleted meanwhile, so a walk in pages meets every document that stays.

        Args:
            filter: On metadata, as `search` takes it; None for all documents.
            after: Begin behind this id, usually the last one of the page before; None begins with the first.
            limit: Documents to give, at most; None for all.

        Returns:
            An iterator over the documents of one committed state.

        Raises:
            InputError: `after` cannot be an id, or `limit` is below 1.
            FilterError: The filter does not parse.
        """
        if filter is not None:
            compile_filter(filter)
        last = "" if after is None else checked_id(after, "after")
        if limit is not None:
            limit = whole_number("limit", limit, of="documents")
        self._session.check_open()
        return islice(self._documents_after(last, filter), limit)

    def _documents_after(self, last: str, condition: Mapping[str, Any] | None) -> Iterator[Document]:
        with self._current() as view:
            for d in view.catalog.documents_after(last, condition):
                yield _document(d)

    def fields(self, *, limit: int = 20) -> dict[str, FieldSummary]:
        """What the metadata holds, by field: types, how many documents have it, and its most frequent values.

        Reads the metadata of at most 50,000 documents, drawn evenly from a larger index: counts are estimates then.

        Args:
            limit: Values to name of each field, at most.

        Returns:
            A summary for each field, under the name that a filter asks for it by; those of most documents first, at most 200.

        Raises:
            InputError: `limit` is below 1.
        """
        limit = whole_number("limit", limit, of="values")
        with self._current() as view:
            return view.catalog.summarized_fields(limit)

    def info(self) -> dict[str, Any]:
        """Counts, sizes in bytes, languages, model and codec, as plain JSON values.

        Returns:
            The facts by name, as `polyvec info` shows them.

        Raises:
            StorageError: The index does not lie any more where it was opened.
        """
        return self._session.facts()

    def verify(self) -> list[str]:
        """Read every checksum and check every rule between the files.

        Returns:
            The problems found; empty if there are none.
        """
        return self._session.problems()

    def copy(
        self,
        path: str | os.PathLike[str],
        *,
        hard_links: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Copy the newest committed state to an index of its own, also while it is written, and verify the copy.

        Args:
            path: Where the copy goes: a path that is free, or an empty folder.
            hard_links: Whether the copy shares segment files with this index where the disk allows it: no space is taken,
                and a failing disk harms both.
            progress: Called with the bytes done and the bytes in all.

        Returns:
            The size of the copy, in bytes.

        Raises:
            IndexCorruptError: A file of this index is damaged; no copy is left then.
            StorageError: The copy cannot be written, or something else is there.
        """
        target = absolute(local_path("path", path))
        flag("hard_links", hard_links)
        function("progress", progress)
        return self._session.copy_to(target, hard_links=hard_links, progress=progress)


def _document(stored: StoredDocument) -> Document:
    return Document(stored.id, stored.text or "", stored.metadata)
