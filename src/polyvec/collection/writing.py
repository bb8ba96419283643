"""Documents, vectors and metadata into an open index, and out of it. Each call is all or nothing, and durable on return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, get_args

import numpy.typing as npt

from polyvec.arguments import flag, function, one_of, shown
from polyvec.collection.arrivals import encoded_documents, given_vectors, paired_vectors
from polyvec.collection.metadata_changes import changed_documents, checked_changes, titled_documents
from polyvec.collection.opened import Opened
from polyvec.data import Document, as_documents
from polyvec.data.document import checked_ids
from polyvec.errors import InputError, StorageError
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.session import Session
from polyvec.index.writing.arrivals import Arrival
from polyvec.index.writing.report import AddReport, Existing
from polyvec.index.writing.writer import Writer


class Writing(Opened):
    """The first writing call takes the writer's lock, and keeps it until `close()`. Threads that write take turns."""

    _session: Session

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Encode and store documents; durable on return, all of them or none.

        Args:
            documents: Any iterable of documents, or of dicts with id, text and any other fields; it is streamed.
            existing: What to do with an id that is stored already: "error", "replace" or "skip".
            progress: Called with the number of documents just encoded.

        Returns:
            What was done: documents added, replaced and skipped, tokens stored, documents cut at the model's limit.

        Raises:
            InputError: A document cannot be stored, an id comes twice or is stored already, or the index has no model.
            IndexLockedError: Another process writes.
        """
        one_of("existing", existing, get_args(Existing))
        function("progress", progress)
        given = as_documents(documents)
        with self._session.writing() as writer:
            encode = partial(encoded_documents, self.encoder, progress=progress, dim=self.dim)
            report = writer.add(given, encode, existing)
            writer.keep_up(dim=self.dim, nbits=self._settings.nbits)
        return report

    def update(
        self, documents: Iterable[Document | Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """Replace documents by id, and add the ones that are new; durable on return, all of them or none.

        Args:
            documents: As `add` takes them. Nothing of the document before is kept: `update_metadata` changes single fields.
            progress: Called with the number of documents just encoded.

        Returns:
            What was done.

        Raises:
            InputError: A document cannot be stored, an id comes twice, or the index has no model.
            IndexLockedError: Another process writes.
        """
        return self.add(documents, existing="replace", progress=progress)

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
        with self._session.writing() as writer:
            changed = changed_documents(writer.catalog, checked)
            if not changed:
                return 0

            def encode(documents: Iterator[Document]) -> Iterator[Arrival]:
                if not changed.titled:  # no model is loaded for nothing
                    return iter(())
                return encoded_documents(self.encoder, documents, progress=None, dim=self.dim)

            documents = titled_documents(writer.catalog, changed.titled)
            writer.add(documents, encode, "replace", metadata=changed.metadata)
            if changed.titled:
                writer.keep_up(dim=self.dim, nbits=self._settings.nbits)
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
        with self._session.writing() as writer:
            report = writer.add(given, partial(given_vectors, dim=self.dim), existing)
            writer.keep_up(dim=self.dim, nbits=self._settings.nbits)
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
            with self._session.writing() as writer:
                return writer.delete(wanted)
        compile_filter(filter)
        if not filter:
            raise InputError(
                "filter={} matches every document, and is refused here. To delete them all, give their ids, or make the index anew."
            )
        with self._session.writing() as writer:
            return writer.delete_where(filter)

    def compact(self, *, retrain: bool = False) -> None:
        """Merge segments into one, put vectors into codes where nbits is below 16, and erase what was deleted from disk.

        Args:
            retrain: Whether the codec is fit anew to what the index holds by now; see `info()["codec"]["drift"]`.

        Raises:
            IndexLockedError: Another process writes.
            StorageError: The disk is full, or the index does not lie any more where it was opened.
        """
        flag("retrain", retrain)
        with self._session.writing() as writer:
            self._compact(writer, retrain=retrain)

    def finish(self) -> None:
        """Complete a resumable build: merge its segments, and let others open the index.

        Raises:
            StorageError: As `compact` has it.
        """
        with self._session.writing() as writer:
            self._compact(writer)
            writer.set_settings(state="ready")

    def _compact(self, writer: Writer, *, retrain: bool = False) -> None:
        writer.compact(dim=self.dim, nbits=self._settings.nbits, retrain=retrain)
        self._session.vacuum()

    def _resume_with(self, nbits: int) -> None:
        """Go on building with other nbits than before, where vectors are not in codes of the earlier ones yet."""
        begun = self._settings.nbits
        if nbits == begun:
            return
        try:
            if self._settings.codec is not None:
                raise StorageError(
                    f"{self.path} was begun with nbits={begun}, and its vectors are in codes of that size by now. Resume with "
                    f"nbits={begun}, or delete the folder."
                )
            with self._session.writing() as writer:
                writer.set_settings(nbits=nbits)
            self.refresh()
        except BaseException:
            self.close()
            raise
