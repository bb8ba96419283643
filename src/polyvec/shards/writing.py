"""Documents, vectors and metadata into shards, and out of them: each by its id into the shard that it belongs to.

A call is one transaction in each shard. Everything is checked, encoded and written before the first of them commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from polyvec.arguments import flag, function, one_of, shown
from polyvec.collection.arrivals import encoded_documents, given_vectors, paired_vectors
from polyvec.collection.metadata_changes import changed_documents, checked_changes, titled_documents
from polyvec.collection.opened import Opened
from polyvec.data import Document, as_documents
from polyvec.data.document import checked_ids
from polyvec.errors import InputError, StorageError
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.writing.arrivals import Arrival, D, Encode, in_batches
from polyvec.index.writing.arriving_ids import ArrivingIds
from polyvec.index.writing.report import AddReport, Existing
from polyvec.index.writing.writer import Writer
from polyvec.shards.catalog import SharedCatalog
from polyvec.shards.routing import MOST_ROWS, by_shard, shard_of
from polyvec.shards.session import ShardsSession
from polyvec.shards.upkeep import compact, keep_up

_MOST_BATCHES = 4  # of 65,536 token vectors, that are in memory before they go to their shards


class ShardsWriting(Opened):
    """The first writing call takes the writer's lock of every shard, and keeps them until `close()`. Threads take turns.

    What a call stores is durable on return. Where it fails, on account of a document, an id, the model or a full disk, nothing of
    it is stored. Shards commit one right after the other, within milliseconds; only where the process ends, or the disk fails,
    between two of these commits, some shards have their part of the call and the others not. Each document is whole even then, old
    or new, and `update` with the same documents completes the call.
    """

    _session: ShardsSession

    def add(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        existing: Existing = "error",
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Encode and store documents; durable on return, all of them or none, as the class says.

        Args:
            documents: Any iterable of documents, or of dicts with id, text and any other fields; it is streamed.
            existing: What to do with an id that is stored already: "error", "replace" or "skip".
            progress: Called with the number of documents just encoded.

        Returns:
            What was done: documents added, replaced and skipped, tokens stored, documents cut at the model's limit.

        Raises:
            InputError: A document cannot be stored, an id comes twice or is stored already, or the shards have no model.
            IndexLockedError: Another process writes.
        """
        one_of("existing", existing, get_args(Existing))
        function("progress", progress)
        given = as_documents(documents)
        with self._session.writing() as writers:
            encode = partial(encoded_documents, self.encoder, progress=progress, dim=self.dim)
            report = self._store(writers, given, encode, existing)
            keep_up(self._session, writers)
        return report

    def update(
        self, documents: Iterable[Document | Mapping[str, Any]], *, progress: Callable[[int], None] | None = None
    ) -> AddReport:
        """Replace documents by id, and add the ones that are new; durable on return, all of them or none, as the class says.

        Args:
            documents: As `add` takes them. Nothing of the document before is kept: `update_metadata` changes single fields.
            progress: Called with the number of documents just encoded.

        Returns:
            What was done.

        Raises:
            InputError: A document cannot be stored, an id comes twice, or the shards have no model.
            IndexLockedError: Another process writes.
        """
        return self.add(documents, existing="replace", progress=progress)

    def update_metadata(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Change metadata of stored documents; durable on return, all of it or nothing, as the class says.

        Args:
            changes: Fields by document id, joined with those that are stored as `Index.update_metadata` joins them:
                `{"42": {"year": 2021, "draft": None}}`.

        Returns:
            How many documents are different now; those that had these values already do not count.

        Raises:
            InputError: An id is not stored, a value is not plain JSON, or `text` is among the fields of a document with a text.
            IndexLockedError: Another process writes.
        """
        checked = checked_changes(changes)
        with self._session.writing() as writers:
            catalog = SharedCatalog([writer.catalog for writer in writers])
            changed = changed_documents(catalog, checked)
            if not changed:
                return 0

            def encode(documents: Iterator[Document]) -> Iterator[Arrival]:
                if not changed.titled:  # no model is loaded for nothing
                    return iter(())
                return encoded_documents(self.encoder, documents, progress=None, dim=self.dim)

            documents = titled_documents(catalog, changed.titled)
            self._store(writers, documents, encode, "replace", metadata=changed.metadata)
            if changed.titled:
                keep_up(self._session, writers)
        return len(changed)

    def add_vectors(
        self,
        ids: Iterable[str],
        vectors: Iterable[npt.ArrayLike],
        *,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        existing: Existing = "error",
    ) -> AddReport:
        """Store token vectors of your own, one (t, dim) array an id; durable on return, all or none, as the class says.

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
        with self._session.writing() as writers:
            report = self._store(writers, given, partial(given_vectors, dim=self.dim), existing)
            keep_up(self._session, writers)
        return report

    def delete(self, ids: Iterable[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id, or by a filter on metadata; durable on return, all of them or none, as the class says.

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
            with self._session.writing() as writers, self._session.together(writers):
                routed = by_shard(wanted, len(writers))
                return sum(writer.delete(some) for writer, some in zip(writers, routed, strict=True) if some)
        compile_filter(filter)
        if not filter:
            raise InputError(
                "filter={} matches every document, and is refused here. To delete them all, give their ids."
            )
        with self._session.writing() as writers, self._session.together(writers):
            return sum(writer.delete_where(filter) for writer in writers)

    def compact(self, *, retrain: bool = False) -> None:
        """Merge the segments of each shard, put vectors into codes where nbits is below 16, and erase what was deleted from disk.

        Args:
            retrain: Whether the codec of all shards is fit anew to what they hold by now; see `info()["codec"]["drift"]`.

        Raises:
            IndexLockedError: Another process writes.
            StorageError: The disk is full, or a shard does not lie any more where it was opened.
        """
        flag("retrain", retrain)
        with self._session.writing() as writers:
            compact(self._session, writers, retrain=retrain)
            self._session.vacuum()

    def _store(
        self,
        writers: Sequence[Writer],
        documents: Iterable[D],
        encode: Encode[D],
        existing: Existing,
        *,
        metadata: Iterable[tuple[int, Mapping[str, Any]]] = (),
    ) -> AddReport:
        """Store a stream of documents, and other metadata for documents that stay, and commit; see `Writer.add`."""
        count = len(writers)
        report = AddReport()
        with self._session.together(writers):
            changed: list[list[tuple[int, Mapping[str, Any]]]] = [[] for _ in writers]
            for row, fields in metadata:
                changed[row % count].append((row, fields))
            for writer, some in zip(writers, changed, strict=True):
                writer.set_metadata(some)
            number = max(-(-writer.catalog.next_row() // count) for writer in writers)
            ids = ArrivingIds(SharedCatalog([w.catalog for w in writers]).rows_of, number * count, existing, report)
            batches = in_batches(encode(ids.checked(documents)))
            while arrivals := list(chain.from_iterable(islice(batches, min(count, _MOST_BATCHES)))):
                parts: list[list[Arrival]] = [[] for _ in writers]
                rows: list[list[int]] = [[] for _ in writers]
                _check_room(self._session, number + len(arrivals))
                for arrival in arrivals:
                    shard = shard_of(arrival.document.id, count)
                    parts[shard].append(arrival)
                    rows[shard].append(number * count + shard)
                    number += 1
                for writer, part, given in zip(writers, parts, rows, strict=True):
                    if part:
                        _add(
                            report,
                            writer.add(map(_Arrived, part), _arrivals, "replace", rows=np.array(given, np.int64)),
                        )
                ids.in_flight.difference_update(arrival.document.id for arrival in arrivals)
        return report


def _check_room(session: ShardsSession, number: int) -> None:
    """Raise StorageError where so many documents have been added that no row is left for another."""
    count = len(session.sessions)
    if number * count > MOST_ROWS:
        raise StorageError(
            f"{session.path}: {MOST_ROWS // count:,} documents were added or replaced, as many as {count} shards can number. Copy "
            "them into new shards, or into fewer."
        )


class _Arrived:
    """An arrival under its document's id."""

    __slots__ = ("arrival", "id")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival, self.id = arrival, arrival.document.id


def _arrivals(arrived: Iterator[_Arrived]) -> Iterator[Arrival]:
    return (one.arrival for one in arrived)


def _add(report: AddReport, part: AddReport) -> None:
    report.added += part.added
    report.replaced += part.replaced
    report.tokens += part.tokens
    report.truncated += part.truncated
