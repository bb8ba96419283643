"""Documents with their token vectors -> immutable segment files, made live by one catalog transaction.

Every call is durable when it returns and leaves nothing behind when it fails: a segment is written under a temporary name,
fsynced and renamed before the transaction that lists it. Knows nothing about models; vectors arrive ready.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.index.catalog import Catalog, SegmentRecord, StoredDocument
from polyvec.index.codec import Codec
from polyvec.index.coded_segment import CodedSegmentWriter
from polyvec.index.drift import lost_by_coding, with_added
from polyvec.index.lock import WriterLock
from polyvec.index.merging import Source, segment_writer
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.index.segment import SegmentInfo, SegmentWriter
from polyvec.index.tuning import measured_curve

log = logging.getLogger(__name__)

Existing = Literal["error", "replace", "skip"]
T = TypeVar("T")
_CHECK_CHUNK = 256  # ids looked up at once
_FLUSH_TOKENS = 65_536  # tokens buffered before they go to the segment file


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One document on its way into the index.

    vectors: (t, d) float32, unit rows, t >= 1 · token_ids: (t,) int32, or None where unknown.
    """

    document: Document
    vectors: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int32] | None = None
    truncated: bool = False
    has_text: bool = True


@dataclass
class AddReport:
    """What one call did: documents added, replaced and skipped, tokens stored, documents cut at the model's limit."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    tokens: int = 0
    truncated: int = 0


class Writer:
    """The one writer of an index; holds the lock until close()."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = WriterLock(folder)
        try:
            self.catalog = Catalog.open(folder, write=True)
            self._sweep()
        except BaseException:
            self._lock.close()
            raise
        self._in_flight: set[str] = set()
        self._opened_codec: tuple[str, Codec] | None = None

    def close(self) -> None:
        """Let go of the catalog and the lock."""
        self.catalog.close()
        self._lock.close()

    def check(
        self, items: Iterable[T], id_of: Callable[[T], str], existing: Existing, report: AddReport
    ) -> Iterator[T]:
        """Pass items on, before anything is spent on encoding them: ids stored already are refused, replaced or skipped.

        Raises InputError for an id that comes twice in the stream, or is stored already (existing="error").
        """
        first_new = self.catalog.next_row()
        iterator = iter(items)
        while chunk := list(islice(iterator, _CHECK_CHUNK)):
            stored = self.catalog.rows_of(id_of(item) for item in chunk)
            for item in chunk:
                document_id = id_of(item)
                row = stored.get(document_id)
                if document_id in self._in_flight or (row is not None and row >= first_new):
                    raise InputError(
                        f"Document id {document_id!r} comes twice in this input. Ids name one document each: make them "
                        "unique. Nothing of this call was added."
                    )
                if row is not None and existing == "error":
                    raise InputError(
                        f"Document id {document_id!r} is in the index already. Use update to replace documents. "
                        "Nothing of this call was added."
                    )
                if row is not None and existing == "skip":
                    report.skipped += 1
                    continue
                self._in_flight.add(document_id)
                yield item

    def add(self, arrivals: Iterable[Arrival], report: AddReport, *, dim: int) -> None:
        """Store a stream of documents as one segment and commit; memory does not grow with the stream.

        Raises whatever the stream raises, after undoing everything of this call.
        """
        meta = self.catalog.meta()
        number, first_row = meta["next_segment"], meta["next_row"]
        file = f"{number:08d}.seg"
        codec = self._codec(meta)
        writer: SegmentWriter | CodedSegmentWriter | None = None
        lost = np.zeros(2)
        row = first_row
        self._in_flight.clear()
        try:
            with self.catalog.transaction():
                for batch in _batches(arrivals):
                    if writer is None:
                        writer = segment_writer(self.folder / SEGMENT_FOLDER / file, dim, meta.get("codec"), codec)
                    vectors = _append(writer, batch)
                    if codec is not None:
                        lost += lost_by_coding(codec, vectors, _token_ids(batch))
                    stale = self.catalog.rows_of(arrival.document.id for arrival in batch)
                    self.catalog.delete_rows(stale.values())
                    self.catalog.insert_documents(_stored(batch, row))
                    self._in_flight.difference_update(arrival.document.id for arrival in batch)
                    row += len(batch)
                    report.replaced += len(stale)
                    report.added += len(batch) - len(stale)
                    report.tokens += sum(len(arrival.vectors) for arrival in batch)
                    report.truncated += sum(arrival.truncated for arrival in batch)
                if writer is None:
                    return
                info = writer.finish()
                writer = None
                self.catalog.insert_segment(_record(number, file, info, np.arange(first_row, row), codec is not None))
                self.catalog.set_meta({"next_segment": number + 1, "next_row": row})
                if codec is not None:
                    self.catalog.set_meta({"codec": with_added(meta["codec"], lost)})
        except BaseException:
            if writer is not None:
                writer.abort()
            with contextlib.suppress(OSError):
                (self.folder / SEGMENT_FOLDER / file).unlink()
            raise
        finally:
            self._in_flight.clear()

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id and commit; ids that are not stored are passed over. Returns how many were deleted."""
        with self.catalog.transaction():
            rows = self.catalog.rows_of(ids)
            self.catalog.delete_rows(rows.values())
        return len(rows)

    def set_meta(self, values: dict[str, Any]) -> None:
        """Store settings in a transaction of their own."""
        with self.catalog.transaction():
            self.catalog.set_meta(values)

    def compact(self, *, dim: int, nbits: int, retrain: bool = False) -> None:
        """Merge all segments into one without its dead rows, in codes where nbits is below 16; nothing is rewritten
        where that is so.

        retrain: train a new codec on what is stored. `Catalog.vacuum` then erases deleted texts.
        """
        records, meta = self.catalog.segments(), self.catalog.meta()
        coded = nbits < 16
        done = len(records) <= 1 and all(record.coded == coded for record in records)
        if done and not retrain and not len(self.catalog.deleted_rows()):
            return
        snapshot = Snapshot.open(self.folder, self.catalog, dim)
        number = meta["next_segment"]
        file = f"{number:08d}.seg"
        source = Source(snapshot)
        listed, codec = meta.get("codec"), self._codec(meta)
        info = None
        try:
            if coded and source.tokens and (codec is None or retrain):
                codec = source.train(nbits)
                codec_file = f"{number:08d}.codec"
                size, checksum = codec.save(self.folder / SEGMENT_FOLDER / codec_file)
                listed = {
                    "file": codec_file,
                    "checksum": checksum,
                    "size_bytes": size,
                    "error": codec.error,
                    "tokens": source.tokens,
                }
            if source.tokens:
                writer = segment_writer(self.folder / SEGMENT_FOLDER / file, dim, listed, codec)
                try:
                    source.copy_into(writer, keep_codes=not retrain)
                    info = writer.finish()
                except BaseException:
                    writer.abort()
                    raise
            with self.catalog.transaction():
                self.catalog.remove_segments(records)
                if info is not None:
                    self.catalog.insert_segment(_record(number, file, info, source.rows, codec is not None))
                self.catalog.set_meta({"next_segment": number + 1, "codec": listed})
        finally:
            self._sweep()
        if listed is not None and info is not None:
            curve = measured_curve(Snapshot.open(self.folder, self.catalog, dim))
            self.set_meta({"codec": {**listed, "curve": curve}})

    def _codec(self, meta: dict[str, Any]) -> Codec | None:
        """The codec that the catalog names, read once."""
        listed = meta.get("codec")
        if listed is None:
            return None
        if self._opened_codec is None or self._opened_codec[0] != listed["file"]:
            self._opened_codec = (listed["file"], Codec.load(self.folder / SEGMENT_FOLDER / listed["file"]))
        return self._opened_codec[1]

    def _sweep(self) -> None:
        """Remove files that no committed transaction lists: what a killed writer left, and what compaction retired."""
        listed = {record.file for record in self.catalog.segments()}
        if codec := self.catalog.meta().get("codec"):
            listed.add(codec["file"])
        for path in (self.folder / SEGMENT_FOLDER).iterdir():
            if path.name not in listed:
                log.debug("sweeping %s", path)
                path.unlink(missing_ok=True)


def _record(number: int, file: str, info: SegmentInfo, rows: npt.NDArray[np.int64], coded: bool) -> SegmentRecord:
    """What the catalog keeps of a segment that holds these rows, ascending."""
    first, last = int(rows[0]), int(rows[-1])
    return SegmentRecord(
        segment=number,
        file=file,
        first_row=first,
        last_row=last,
        rows=None if last - first + 1 == len(rows) else rows,
        n_documents=info.n_documents,
        n_tokens=info.n_tokens,
        size_bytes=info.size_bytes,
        checksum=info.checksum,
        coded=coded,
    )


def _batches(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    """Group the stream so that a batch holds about _FLUSH_TOKENS token vectors."""
    batch: list[Arrival] = []
    tokens = 0
    for arrival in arrivals:
        batch.append(arrival)
        tokens += len(arrival.vectors)
        if tokens >= _FLUSH_TOKENS:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def _append(writer: SegmentWriter | CodedSegmentWriter, batch: list[Arrival]) -> npt.NDArray[np.float32]:
    vectors = np.concatenate([arrival.vectors for arrival in batch])
    doclens = np.array([len(arrival.vectors) for arrival in batch], dtype=np.int64)
    writer.append(vectors, doclens, _token_ids(batch))
    return vectors


def _token_ids(batch: list[Arrival]) -> npt.NDArray[np.int32] | None:
    ids = [arrival.token_ids for arrival in batch if arrival.token_ids is not None]
    return np.concatenate(ids) if len(ids) == len(batch) else None


def _stored(batch: list[Arrival], row: int) -> Iterator[StoredDocument]:
    for offset, arrival in enumerate(batch):
        document = arrival.document
        text = document.text if arrival.has_text else None
        yield StoredDocument(
            row + offset, document.id, text, document.metadata, len(arrival.vectors), arrival.truncated
        )
