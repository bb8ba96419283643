"""The codec that all shards share, trained once on all of them, and their segments in order.

A document has the same codes whatever shard it is in. While shards change from one codec to another, the manifest names both, so
that readers go on; a change that was cut off is completed by the next writer.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from polyvec.errors import PolyvecError
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.upkeep.merging import Source, TrainedCodec
from polyvec.index.upkeep.policy import expected_tokens, training_due
from polyvec.index.upkeep.tuning import measured_curve
from polyvec.index.writing.writer import Writer
from polyvec.shards.session import ShardsSession
from polyvec.shards.view import SharedSnapshot

log = logging.getLogger(__name__)


def keep_up(session: ShardsSession, writers: Sequence[Writer], added: int) -> None:
    """Train a codec where it is time, and merge segments, as `Writer.keep_up` does for one index.

    What went before is committed, so a failure is logged, and tried again after the next addition.

    Args:
        session: Of the shards, which is writing.
        writers: Of all shards.
        added: Tokens that the last call added to all of them.
    """
    dim, nbits = session.settings.dim, session.settings.nbits
    try:
        complete_change(session, writers)
        if nbits < 16 and _training_due(writers):
            train(session, writers, added=added)
    except (PolyvecError, OSError, MemoryError) as error:
        log.warning("%s: what was written is stored, but could not be put in order: %s", session.path, error)
    for writer in writers:
        writer.keep_up(dim=dim, nbits=16, added=added)  # 16: without training a codec of its own


def compact(session: ShardsSession, writers: Sequence[Writer], *, retrain: bool) -> None:
    """Merge the segments of each shard into one, in codes where nbits is below 16.

    Args:
        session: Of the shards, which is writing.
        writers: Of all shards.
        retrain: Whether to train a new codec on what they hold.
    """
    dim, nbits = session.settings.dim, session.settings.nbits
    complete_change(session, writers)
    if nbits < 16 and (retrain or not session.manifest.codecs):
        train(session, writers)
    before = _files(writers)
    for writer in writers:
        coded = writer.catalog.settings().codec is not None
        writer.compact(dim=dim, nbits=nbits if coded else 16, measure=False)
    if _files(writers) != before:
        measure(writers, dim)


def train(session: ShardsSession, writers: Sequence[Writer], *, added: int | None = None) -> None:
    """Train one codec on what all shards hold, and put everything into its codes. Does nothing where they hold nothing.

    Args:
        session: Of the shards, which is writing.
        writers: Of all shards.
        added: Tokens that the last call added, where the codec is made for more than there is, as `expected_tokens` has it.
    """
    dim = session.settings.dim
    source = Source(_opened(session, writers, dim))
    if not source.tokens:
        return
    expected = None if added is None else expected_tokens(source.tokens, added)
    trained = TrainedCodec.of(source, session.settings.nbits, expected)
    before = session.manifest.codecs
    checksum = _checksum(session, trained.codec)
    session.set_codecs(*dict.fromkeys((checksum, *before[:1])))
    for writer in writers:
        writer.adopt(trained, dim=dim)
    session.set_codecs(checksum)
    measure(writers, dim)


def complete_change(session: ShardsSession, writers: Sequence[Writer]) -> None:
    """Finish the change to another codec that an earlier writer began: all shards get the newest that one of them has.

    Args:
        session: Of the shards, which is writing.
        writers: Of all shards.
    """
    listed = session.manifest.codecs
    records = [writer.catalog.settings().codec for writer in writers]
    if all(record is not None and record.checksum == listed[0] for record in records) if listed else not any(records):
        if len(listed) > 1:
            session.set_codecs(listed[0])
        return
    there = {record.checksum: number for number, record in enumerate(records) if record is not None}
    newest = next((checksum for checksum in listed if checksum in there), None)
    if newest is None:  # it ended before the first shard had changed
        session.set_codecs()
        return
    number = there[newest]
    record = records[number]
    assert record is not None
    trained = _stored(writers[number], record)
    for writer, other in zip(writers, records, strict=True):
        if other is None or other.checksum != newest:
            writer.adopt(trained, dim=session.settings.dim)
    session.set_codecs(newest)
    measure(writers, session.settings.dim)


def _checksum(session: ShardsSession, codec: Codec) -> str:
    """The checksum that the codec's file will have in every shard."""
    with tempfile.TemporaryDirectory(prefix=".training-", dir=session.path) as folder:
        return codec.save(Path(folder) / "whole.codec")[1]


def _stored(writer: Writer, record: CodecRecord) -> TrainedCodec:
    codec = Codec.load(writer.folder / SEGMENT_FOLDER / record.file)
    return TrainedCodec(codec, record.error, record.tokens)


def _training_due(writers: Sequence[Writer]) -> bool:
    """`training_due` of all shards as one."""
    records = [record for writer in writers for record in writer.catalog.segments()]
    if not training_due(_joined(writers), sum(record.n_tokens for record in records)):
        return False
    return training_due(_joined(writers), sum(writer.catalog.document_counts()["tokens"] for writer in writers))


def _joined(writers: Sequence[Writer]) -> CodecRecord | None:
    """What the shards know of their codec, together: as one index would, that had all that was added to them."""
    records = [record for writer in writers if (record := writer.catalog.settings().codec) is not None]
    if not records:
        return None
    added = sum(record.added_tokens for record in records)
    lost = sum(record.added_tokens * record.added_error for record in records)
    first = records[0]
    return CodecRecord(
        file=first.file, checksum=first.checksum, size_bytes=first.size_bytes, error=first.error, tokens=first.tokens,
        added_tokens=added, added_error=lost / added if added else 0.0, curve=first.curve,
    )  # fmt: skip


def measure(writers: Sequence[Writer], dim: int) -> None:
    """Measure what each search setting finds in all shards together, and store it in each.

    Args:
        writers: Of all shards, in order.
        dim: Of the token vectors.
    """
    snapshots = [writer.opened(dim=dim) for writer in writers]
    if any(snapshot.codec is not None for snapshot in snapshots):
        curve = measured_curve(SharedSnapshot.of(writers[0].folder.parent, snapshots))
        for writer in writers:
            writer.set_curve(curve)


def _files(writers: Sequence[Writer]) -> list[str]:
    return [record.file for writer in writers for record in writer.catalog.segments()]


def _opened(session: ShardsSession, writers: Sequence[Writer], dim: int) -> SharedSnapshot:
    return SharedSnapshot.of(session.path, [writer.opened(dim=dim) for writer in writers])
