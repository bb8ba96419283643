"""Documents, vectors and metadata into an open collection, and out of it. Each call is all or nothing, and durable on return.

Checks what a caller gives. How one index is changed, and how several as one, `index_writing.py` and `shards/writing.py` know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy.typing as npt

from polyvec.arguments import flag, function, one_of, shown, whole_number
from polyvec.collection.arrivals import encoded_documents, given_vectors, paired_vectors
from polyvec.collection.metadata_changes import changed_documents, checked_changes, titled_documents
from polyvec.collection.opened import Opened
from polyvec.data import Document, as_documents
from polyvec.data.document import checked_ids
from polyvec.errors import InputError
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.catalog.protocol import ReadableCatalog
from polyvec.index.writing.arrivals import Arrival, D, Encode
from polyvec.index.writing.report import AddReport, Existing

if TYPE_CHECKING:
    from polyvec.encoder.in_processes import EncodesDocuments

_MOST_PROCESSES = 256


class Changes(Protocol):
    """What a writing call may do while it is this thread's turn; see `polyvec.index.writing.writer.Writer`."""

    @property
    def catalog(self) -> ReadableCatalog:
        """What is stored before the change."""

    def add(
        self,
        documents: Iterable[D],
        encode: Encode[D],
        existing: Existing,
        *,
        metadata: Iterable[tuple[int, Mapping[str, Any]]] = (),
    ) -> AddReport:
        """Store a stream of documents, and other metadata for documents that stay, by row; commit."""

    def keep_up(self, added: int) -> None:
        """Train a codec and merge segments where it is time. added: token vectors that the last call stored."""

    def delete(self, ids: list[str]) -> int:
        """Delete documents by id and commit. Returns how many there were."""

    def delete_where(self, condition: Mapping[str, Any]) -> int:
        """Delete the documents that satisfy a filter and commit. Returns how many there were."""

    def compact(self, *, retrain: bool) -> None:
        """Merge segments, and give free space back."""


class Writing(Opened):
    """The first writing call takes the writer's lock, and keeps it until `close()`. Threads that write take turns."""

    @abstractmethod
    def _changing(self) -> AbstractContextManager[Changes]:
        """This thread's turn to change the collection."""

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
        processes: int = 1,
    ) -> AddReport:
        """Encode and store documents; durable on return, all of them or none.

        Args:
            documents: Any iterable of documents, or of dicts with id, text and any other fields; it is streamed.
            existing: What to do with an id that is stored already: "error", "replace" or "skip".
            progress: Called with the number of documents just encoded.
            processes: Processes that encode, each with a model of its own; what is stored is the same. 1 is this process, which
                uses all processors already: more are for large machines, and take seconds to start.

        Returns:
            What was done: documents added, replaced and skipped, tokens stored, documents cut at the model's limit.

        Raises:
            InputError: A document cannot be stored, an id comes twice or is stored already, or the index has no model.
            ModelError: One of several processes ended early.
            IndexLockedError: Another process writes.
        """
        one_of("existing", existing, get_args(Existing))
        function("progress", progress)
        given = as_documents(documents)
        if process_count(processes) == 1:
            return self._add(given, self.encoder, existing, progress)
        from polyvec.encoder.in_processes import encoding_in

        with encoding_in(self.encoder, processes) as encoder:
            return self._add(given, encoder, existing, progress)

    def _add(
        self,
        documents: Iterator[Document],
        encoder: EncodesDocuments,
        existing: Existing,
        progress: Callable[[int], None] | None,
    ) -> AddReport:
        """`add`, with an encoder that makes the vectors of this index."""
        with self._changing() as changes:
            encode = partial(encoded_documents, encoder, progress=progress, dim=self.dim)
            report = changes.add(documents, encode, existing)
            changes.keep_up(report.tokens)
        return report

    def update(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        progress: Callable[[int], None] | None = None,
        processes: int = 1,
    ) -> AddReport:
        """Replace documents by id, and add the ones that are new; durable on return, all of them or none.

        Args:
            documents: As `add` takes them. Nothing of the document before is kept: `update_metadata` changes single fields.
            progress: Called with the number of documents just encoded.
            processes: Processes that encode, as `add` has it.

        Returns:
            What was done.

        Raises:
            InputError: A document cannot be stored, an id comes twice, or the index has no model.
            ModelError: One of several processes ended early.
            IndexLockedError: Another process writes.
        """
        return self.add(documents, existing="replace", progress=progress, processes=processes)

    def update_metadata(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Change metadata of stored documents; durable on return, all of it or nothing.

        The fields that are given are joined with those that are stored: a new one is added, one that is there gets the new value,
        None removes it, and the others stay. A field that holds an object is replaced as a whole. Token vectors stay as they are,
        so no model is needed; only where the `title` of a document with a text changes, which is encoded with the text, the
        document is encoded again.

        Args:
            changes: Fields by document id: `{"42": {"year": 2021, "draft": None}}`.

        Returns:
            How many documents are different now; those that had these values already do not count.

        Raises:
            InputError: An id is not stored, a value is not plain JSON, or `text` is among the fields of a document with a text.
            IndexLockedError: Another process writes.
        """
        checked = checked_changes(changes)
        with self._changing() as writing:
            changed = changed_documents(writing.catalog, checked)
            if not changed:
                return 0

            def encode(documents: Iterator[Document]) -> Iterator[Arrival]:
                if not changed.titled:  # no model is loaded for nothing
                    return iter(())
                return encoded_documents(self.encoder, documents, progress=None, dim=self.dim)

            documents = titled_documents(writing.catalog, changed.titled)
            report = writing.add(documents, encode, "replace", metadata=changed.metadata)
            if changed.titled:
                writing.keep_up(report.tokens)
        return len(changed)

    def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors of your own, one (t, dim) array an id; durable on return, all or none.

        Args:
            ids: One id a document, in order.
            vectors: For each document its token vectors, (t, dim) with t >= 1, of any real dtype: a list, any iterable, or one
                array (n, t, dim). Rows are scaled to length 1; those that have it already stay as they are.
            metadata: A dict, or None, a document; None for no metadata at all.
            existing: What to do with an id that is stored already: "error", "replace" or "skip".

        Returns:
            What was done.

        Raises:
            InputError: An array has a wrong dim, no rows, or a row that is all zeros or not finite; or the lists differ in length.
            IndexLockedError: Another process writes.
        """
        one_of("existing", existing, get_args(Existing))
        given = paired_vectors(ids, vectors, metadata)
        with self._changing() as changes:
            report = changes.add(given, partial(given_vectors, dim=self.dim), existing)
            changes.keep_up(report.tokens)
        return report

    def delete(self, ids: Iterable[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id, or by a filter on metadata; durable on return, all of them or none.

        Args:
            ids: Ids of documents; those that are not stored are passed over.
            filter: In place of ids: every document that satisfies it, as `search` takes it.

        Returns:
            How many documents were deleted.

        Raises:
            InputError: Neither or both are given, or `filter` is empty and would delete every document.
            FilterError: The filter does not parse.
            IndexLockedError: Another process writes.
        """
        if (ids is None) == (filter is None):
            raise InputError(
                f"delete(ids={shown(ids)}, filter={shown(filter)}): expected either a list of ids or a filter, such as "
                "filter={'lang': 'de'}."
            )
        if filter is None:
            wanted = list(checked_ids("ids", ids))
            with self._changing() as changes:
                return changes.delete(wanted)
        compile_filter(filter)
        if not filter:
            raise InputError(
                "filter={} matches every document, and is refused here. To delete them all, give their ids."
            )
        with self._changing() as changes:
            return changes.delete_where(filter)

    def compact(self, *, retrain: bool = False) -> None:
        """Merge segments into one, put vectors into codes where nbits is below 16, and erase what was deleted from disk.

        Args:
            retrain: Whether the codec is fit anew to what the index holds by now; see `info()["codec"]["drift"]`.

        Raises:
            IndexLockedError: Another process writes.
            StorageError: The disk is full, or the index does not lie any more where it was opened.
        """
        flag("retrain", retrain)
        with self._changing() as changes:
            changes.compact(retrain=retrain)


def process_count(value: Any) -> int:
    """How many processes are to encode.

    Args:
        value: What a caller gives.

    Returns:
        The number.

    Raises:
        InputError: It is no whole number from 1 to 256.
    """
    return whole_number("processes", value, most=_MOST_PROCESSES, of="processes")
