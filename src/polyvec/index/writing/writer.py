"""Documents with their token vectors -> immutable segment files, made live by one catalog transaction.

Every call is durable when it returns and leaves nothing behind when it fails: a segment is written under a temporary name,
fsynced and renamed before the transaction that lists it. Knows nothing about models; vectors arrive ready.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexReadOnlyError, PolyvecError, StorageError
from polyvec.index.catalog.catalog import Catalog, SegmentRecord
from polyvec.index.catalog.connection import Place
from polyvec.index.catalog.settings import CodecRecord, IndexSettings, MeasuredRecall, State
from polyvec.index.codec.codec import Codec
from polyvec.index.lock import LOCK_FILE, WriterLock
from polyvec.index.place import check_place
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.index.upkeep.drift import sampled_coding_error, with_added
from polyvec.index.upkeep.leftovers import leftovers_of, put_aside
from polyvec.index.upkeep.merging import Source, TrainedCodec
from polyvec.index.upkeep.policy import absorbed, expected_tokens, merge_due, training_due
from polyvec.index.upkeep.tuning import measured_curve
from polyvec.index.writing.arrivals import Arrival, D, Encode, as_stored, in_batches, tokens_of
from polyvec.index.writing.arriving_ids import ArrivingIds
from polyvec.index.writing.new_segment import NewSegment, unused_file
from polyvec.index.writing.report import AddReport, Existing

log = logging.getLogger(__name__)

_GRACE_SECONDS = 2.0  # that a replaced file stays for readers which are about to open it


class Writer:
    """The one writer of an index; holds the lock until close().

    Each change goes through `_transaction`: it is made in the folder that was opened, or not at all, and whatever was
    remembered is forgotten where it fails.

    Args:
        folder: Of the index.
        place: The catalog that was opened before in this folder; StorageError is raised where another is there now.
        on_commit: Called before each commit and again after it.
    """

    def __init__(
        self, folder: Path, *, place: Place | None = None, on_commit: Callable[[], None] | None = None
    ) -> None:
        self.folder, self._process = folder, os.getpid()
        if place is not None:
            check_place(folder, place)
        with contextlib.ExitStack() as held:
            self._lock = WriterLock(folder)
            held.callback(self._lock.close)
            self.catalog = Catalog.open(folder, write=True)
            held.callback(self.catalog.close)
            if (origin := self.catalog.pulled()) is not None:
                raise IndexReadOnlyError(
                    f"{folder} was pulled from {origin.get('url')}, and the next pull replaces it: it is only read. Change it "
                    "where it is published from, or change a copy of it, which `polyvec copy` makes."
                )
            self._place = self.catalog.place if place is None else place
            if on_commit is not None:
                self.catalog.on_commit = on_commit
            self._retired: list[tuple[float, str]] = []  # when a file was replaced, and its name
            self._grouped, self._listed = False, list[Path]()  # whether `together` is under way, and files made since
            self._forget()
            self.swept = self.sweep()  # files that were removed
            held.pop_all()

    def close(self) -> None:
        """Close the catalog and release the lock."""
        with contextlib.ExitStack() as last:  # each of them, whatever becomes of the others
            last.callback(self._lock.close)
            last.callback(self.catalog.close)
            self._remove_retired(0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that this writer changes inside one transaction, which commits when the block ends."""
        retired, self._listed = list(self._retired), []
        try:
            with self._transaction():
                self._grouped = True
                try:
                    yield
                finally:
                    self._grouped = False
        except BaseException:
            self._retired = retired
            for path in self._listed:
                if not self.catalog.may_be_committed and self._process == os.getpid():
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """`Catalog.transaction` for every change that this writer makes; nothing of its own inside `together`."""
        if self._grouped:
            yield
            return
        try:
            with self.catalog.transaction():
                self._check()
                yield
        except BaseException:
            self._forget()
            raise

    def _check(self) -> None:
        """Raise StorageError where this writer would write into somebody else's index, or beside somebody else."""
        check_place(self.folder, self._place)
        if not self._lock.held:
            raise StorageError(
                f"{self.folder}: the lock file {LOCK_FILE} has been removed or replaced, so somebody else may be writing. Close "
                "this index and open it again."
            )

    def _forget(self) -> None:
        """Forget what is known of the index: a transaction that failed may have been the source of it."""
        self._opened_codec: tuple[str, str, Codec] | None = None
        self._snapshot: Snapshot | None = None

    def add(
        self,
        documents: Iterable[D],
        encode: Encode[D],
        existing: Existing,
        *,
        metadata: Iterable[tuple[int, Mapping[str, Any]]] = (),
        rows: npt.NDArray[np.int64] | None = None,
    ) -> AddReport:
        """Store a stream of documents and commit; memory does not grow with the stream.

        A small stream is written together with the small segments before it, any other as a segment of its own.

        Args:
            documents: What is to be stored.
            encode: Makes a stream of arrivals of a stream of those documents that are stored, in their order.
            existing: What to do with an id that is stored already.
            metadata: Other metadata for documents that stay, as (row, fields), in the same transaction.
            rows: (n,) int64, ascending, from the index's next row on: those of the n documents; None for the rows that come next.

        Returns:
            What was done to `documents`.

        Raises:
            InputError: An id comes twice, or is stored already where existing="error".
            BaseException: Whatever `documents` and `encode` raise, after undoing everything of this call.
        """
        report = AddReport()
        new: NewSegment | None = None
        lost = np.zeros(2)
        try:
            with self._transaction():
                settings = self.catalog.settings()
                row, dim = settings.next_row, settings.dim
                ids = ArrivingIds(self.catalog.rows_of, row, existing, report)
                self.catalog.set_metadata(metadata)
                new = NewSegment(self.folder, self.catalog, dim, settings.codec, self._codec(settings.codec))
                batches = in_batches(encode(ids.checked(documents)))
                ready = list(islice(batches, 2))
                for number, batch in enumerate(chain(ready, batches)):
                    stale = self.catalog.rows_of(arrival.document.id for arrival in batch)
                    self.catalog.delete_rows(stale.values())
                    if number == 0 and len(ready) == 1 and settings.state == "ready":
                        small = absorbed(self.catalog.segments(), tokens_of(batch))
                        new.take(small, Source(self._opened(small, dim, settings)))
                    given = np.arange(row, row + len(batch), dtype=np.int64)
                    if rows is not None:
                        given, rows = rows[: len(batch)], rows[len(batch) :]
                    lost += self._append(new, batch, given)
                    self.catalog.insert_documents(as_stored(batch, given.tolist()))
                    ids.in_flight.difference_update(arrival.document.id for arrival in batch)
                    row = int(given[-1]) + 1
                    report.replaced += len(stale)
                    report.added += len(batch) - len(stale)
                    report.tokens += tokens_of(batch)
                    report.truncated += sum(arrival.truncated for arrival in batch)
                if not ready:
                    return report
                self._check()
                new.list()
                self.catalog.set_settings(next_row=row)
                if settings.codec is not None:
                    self.catalog.set_settings(codec=with_added(settings.codec, lost))
        except BaseException:
            if new is not None:
                new.abort()
            raise
        if self._grouped:
            self._listed.append(new.path)
        self._retire(new.replaced)
        return report

    def _append(self, new: NewSegment, batch: list[Arrival], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Add a batch to a segment; what coding loses of it, as polyvec.index.upkeep.drift counts."""
        vectors = np.concatenate([arrival.vectors for arrival in batch])
        doclens = np.array([len(arrival.vectors) for arrival in batch], dtype=np.int64)
        new.append(vectors, doclens, rows)
        return np.zeros(2) if new.codec is None else sampled_coding_error(new.codec, vectors)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id and commit; ids that are not stored are passed over. Returns how many were deleted."""
        wanted = list(ids)
        with self._transaction():
            rows = self.catalog.rows_of(wanted)
            self.catalog.delete_rows(rows.values())
        return len(rows)

    def delete_where(self, condition: Mapping[str, Any]) -> int:
        """Delete documents by a filter on metadata and commit. Returns how many. Raises FilterError for one that does not parse."""
        with self._transaction():
            rows = self.catalog.rows_where(condition)
            self.catalog.delete_rows(rows.tolist())
        return len(rows)

    def set_settings(
        self,
        *,
        state: State | None = None,
        nbits: int | None = None,
        next_segment: int | None = None,
        codec: CodecRecord | None = None,
    ) -> None:
        """Store those that are given, in a transaction of their own."""
        with self._transaction():
            self.catalog.set_settings(state=state, nbits=nbits, next_segment=next_segment, codec=codec)

    def adopt(self, trained: TrainedCodec, *, dim: int) -> None:
        """Put everything that is stored into the codes of a codec that was trained elsewhere, on more than this index holds."""
        self._rewrite(self.catalog.segments(), dim, trained=trained)

    def set_metadata(self, metadata: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Give documents other metadata with the same title, from (row, metadata), and commit."""
        with self._transaction():
            self.catalog.set_metadata(metadata)

    def set_curve(self, curve: tuple[MeasuredRecall, ...]) -> None:
        """Store what each search setting finds, as it was measured; nothing where there is no codec."""
        if (codec_record := self.catalog.settings().codec) is not None:
            self.set_settings(codec=replace(codec_record, curve=curve))

    def opened(self, *, dim: int) -> Snapshot:
        """The live segments as they are now."""
        return self._opened(self.catalog.segments(), dim)

    def compact(self, *, dim: int, nbits: int, retrain: bool = False, measure: bool = True) -> None:
        """Merge all segments into one without deleted rows, in codes where nbits is below 16.

        Nothing is rewritten where that is so already. `Catalog.vacuum` then erases deleted texts.

        Args:
            dim: Of the token vectors.
            nbits: Bits a dimension; 16 is fp16.
            retrain: Whether to train a new codec on what is stored.
            measure: Whether to measure what search settings find in what was rewritten.
        """
        records, settings = self.catalog.segments(), self.catalog.settings()
        coded = nbits < 16
        done = len(records) <= 1 and all(record.coded == coded for record in records)
        if not done or retrain or self.catalog.count_deleted(0, settings.next_row):
            self._rewrite(records, dim, train=nbits if coded and (retrain or settings.codec is None) else None)
            if measure:
                self._measure(dim)
        self._remove_retired(0)
        self.sweep()

    def keep_up(self, *, dim: int, nbits: int, added: int) -> None:
        """Train a codec where it is time, and merge segments, as polyvec.index.upkeep.policy says.

        What went before is committed, so a failure (a full disk) is logged, and tried again after the next addition.

        Args:
            dim: Of the token vectors.
            nbits: Bits a dimension of a codec that is trained; 16 for none.
            added: Tokens that the last call added.
        """
        try:
            self._keep_up(dim, nbits, added)
            self._remove_retired(_GRACE_SECONDS)
        except (PolyvecError, OSError, MemoryError) as error:
            log.warning("%s: what was written is stored, but could not be put in order: %s", self.folder, error)

    def _keep_up(self, dim: int, nbits: int, added: int) -> None:
        records, settings = self.catalog.segments(), self.catalog.settings()
        if settings.state != "ready":  # a build in parts is put into codes once, from everything, by its last step
            return
        if nbits < 16 and training_due(settings.codec, sum(record.n_tokens for record in records)):
            live = Source(self._opened(records, dim, settings)).tokens
            if training_due(settings.codec, live):
                self._rewrite(records, dim, train=nbits, expected=expected_tokens(live, added))
                self._measure(dim)
                return
        while due := merge_due(records, [self.catalog.count_deleted(r.first_row, r.last_row) for r in records]):
            self._rewrite(due, dim)
            records = self.catalog.segments()

    def _rewrite(
        self,
        records: list[SegmentRecord],
        dim: int,
        *,
        train: int | None = None,
        expected: int | None = None,
        trained: TrainedCodec | None = None,
    ) -> None:
        """Write the live documents of neighboring segments as one, in a transaction of its own.

        Args:
            records: The segments, as the catalog lists them.
            dim: Of the token vectors.
            train: Bits of a new codec to train on them, for which they have to be all there are; None to train none.
            expected: How many tokens the codec is made for; None for those that are there.
            trained: A codec to put them into, for which they have to be all there are as well; None for that of the index.
        """
        new: NewSegment | None = None
        saved: Path | None = None
        try:
            with self._transaction():
                settings = self.catalog.settings()
                source = Source(self._opened(records, dim, settings))
                codec_record, codec = settings.codec, self._codec(settings.codec)
                if train is not None and source.tokens:
                    trained = TrainedCodec.of(source, train, expected)
                if trained is not None:
                    self._check()
                    codec = trained.codec
                    _, saved = unused_file(self.folder, settings.next_segment, "codec")
                    size, checksum = codec.save(saved)
                    codec_record = CodecRecord(
                        file=saved.name,
                        checksum=checksum,
                        size_bytes=size,
                        error=trained.error,
                        tokens=trained.tokens,
                    )
                new = NewSegment(self.folder, self.catalog, dim, codec_record, codec)
                new.take(records, source)
                self._check()
                new.list()
                if saved is not None:
                    self.catalog.set_settings(codec=codec_record)
        except BaseException:
            if new is not None:
                new.abort()
            if saved is not None and not self.catalog.may_be_committed and self._process == os.getpid():
                with contextlib.suppress(OSError):
                    saved.unlink(missing_ok=True)
            raise
        self._retire(records)
        if saved is not None and settings.codec is not None:
            self._retired.append((time.monotonic(), settings.codec.file))

    def _measure(self, dim: int) -> None:
        """Measure and store what each search setting finds in the index as it is now."""
        if self.catalog.settings().codec is not None:
            self.set_curve(measured_curve(self.opened(dim=dim)))

    def _opened(self, records: list[SegmentRecord], dim: int, settings: IndexSettings | None = None) -> Snapshot:
        """These segments as they are now; files that are open already are not opened again."""
        self._snapshot = Snapshot.open(
            self.folder, self.catalog, dim, before=self._snapshot, records=records, settings=settings
        )
        return self._snapshot

    def _codec(self, codec_record: CodecRecord | None) -> Codec | None:
        """The codec that the catalog names, read once."""
        if codec_record is None:
            return None
        file, checksum = codec_record.file, codec_record.checksum
        if self._opened_codec is None or self._opened_codec[:2] != (file, checksum):
            self._opened_codec = (file, checksum, Codec.load(self.folder / SEGMENT_FOLDER / file))
        return self._opened_codec[2]

    def _retire(self, records: list[SegmentRecord]) -> None:
        """Remember files that no transaction lists any more."""
        self._retired += [(time.monotonic(), record.file) for record in records]

    def _remove_retired(self, seconds: float) -> None:
        """Remove files retired so long ago, so that a reader that has just read the list still finds them."""
        before = time.monotonic() - seconds
        due = [file for when, file in self._retired if when <= before]
        if due and self._is_ours():
            for file in due:
                with contextlib.suppress(OSError):
                    (self.folder / SEGMENT_FOLDER / file).unlink(missing_ok=True)
        self._retired = [(when, file) for when, file in self._retired if when > before]

    def _is_ours(self) -> bool:
        """Whether files may be removed: this process is the writer, and the folder is the one that it opened."""
        try:
            self._check()
        except StorageError:
            return False
        return self._process == os.getpid()

    def sweep(self) -> int:
        """Remove files that no committed transaction lists, as a killed writer leaves them. Returns how many.

        Finished files that no writer of this index's history has left are moved to the folder of damaged files instead.
        A commit goes first: one that failed in its last step could come back from SQLite's log after a crash, and list its
        file, until another is written over it there.
        """
        found = leftovers_of(self.folder, self.catalog, self._lock.killed_since)
        if found.removable or found.strays:
            self.set_settings(next_segment=self.catalog.settings().next_segment + 1)
        if not self._is_ours():
            return 0
        for path in found.removable:
            log.debug("sweeping %s", path)
            with contextlib.suppress(OSError):  # the next writer tries again
                path.unlink(missing_ok=True)
        for path in put_aside(self.folder, found.strays):
            log.warning("%s: no catalog of this index has listed it. It was moved here, not removed.", path)
        return len(found.removable) + len(found.strays)
