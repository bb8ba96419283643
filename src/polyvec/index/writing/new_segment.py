"""One segment on its way to disk: live documents of older segments, then new ones, listed by the caller's transaction.

The file is durable before the transaction that lists it commits. Knows nothing about ids or texts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import Catalog, SegmentRecord
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.engine.protocol import SegmentInfo, SegmentWriter, StoredDocuments
from polyvec.index.format import CODES, VECTORS
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.upkeep.merging import Source, segment_writer


class NewSegment:
    """Takes documents in row order; nothing is on disk before the first of them.

    Args:
        folder: Of the index.
        catalog: Open for writing.
        dim: Of the token vectors.
        codec_record: The codec that its vectors are coded with, as the catalog keeps it; None for fp16.
        codec: The same, loaded.
    """

    def __init__(
        self, folder: Path, catalog: Catalog, dim: int, codec_record: CodecRecord | None, codec: Codec | None
    ) -> None:
        self._catalog, self._dim = catalog, dim
        self._described, self.codec = codec_record, codec
        self._number, self.path = unused_file(folder, catalog.settings().next_segment, "seg")
        self._process, self._placed = os.getpid(), False  # whether the file has got its name, or is about to
        self.replaced: list[SegmentRecord] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._writer: SegmentWriter | None = None

    def take(self, records: Sequence[SegmentRecord], source: Source) -> None:
        """Begin with the live documents of segments that this one replaces."""
        self.replaced = list(records)
        if len(source.rows):
            source.copy_into(self._opened())
            self._rows.append(source.rows)

    def append(
        self, vectors: npt.NDArray[np.float32], doclens: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
    ) -> None:
        """Add documents under these rows, ascending and above those before; arrays as SegmentWriter.append has them."""
        self._opened().append(vectors, doclens)
        self._rows.append(rows)

    def copy(self, source: StoredDocuments, doclens: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        """Add stored documents under these rows, ascending and above those before: codes as they are where this codec made them."""
        self._opened().copy(source, np.arange(len(doclens), dtype=np.int64), doclens)
        self._rows.append(rows)

    def list(self) -> None:
        """Make the file durable and live, in place of those it replaces; call inside a transaction.

        Raises StorageError where somebody else has put a file of that name there.
        """
        info = None
        if self._writer is not None:
            if self.path.exists():
                raise StorageError(
                    f"{self.path} is there already, and this writer did not make it. Remove it, then try again."
                )
            self._placed = True
            info = self._writer.finish()
            self._writer = None
        self._catalog.remove_segments(self.replaced)
        if info is not None:
            rows = np.concatenate(self._rows)
            self._catalog.insert_segment(
                segment_record(self._number, self.path.name, info, rows, VECTORS if self.codec is None else CODES)
            )
        self._catalog.set_settings(next_segment=self._number + 1)

    def abort(self) -> None:
        """Remove the file, unless a commit may list it: one that failed can yet come back from SQLite's log.

        A forked child removes nothing: the file is its parent's.
        """
        if self._process != os.getpid():
            return
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        if self._placed and not self._catalog.may_be_committed:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _opened(self) -> SegmentWriter:
        if self._writer is None:
            self._writer = segment_writer(self.path, self._dim, self._described, self.codec)
        return self._writer


def unused_file(folder: Path, number: int, ending: str) -> tuple[int, Path]:
    """The first number from `number` on that no file in the folder of segments has, and the path of a file with it."""
    segments = folder / SEGMENT_FOLDER
    taken = {name.split(".")[0] for name in os.listdir(segments)}
    while f"{number:08d}" in taken:
        number += 1
    return number, segments / f"{number:08d}.{ending}"


def segment_record(number: int, file: str, info: SegmentInfo, rows: npt.NDArray[np.int64], kind: str) -> SegmentRecord:
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
        kind=kind,
    )
