"""What an open reader sees: the segments of one moment, less the rows deleted by then, searched as one.

Turns query vectors into rows and scores. Knows nothing about texts, models or hits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index.catalog import Catalog, SegmentRecord
from polyvec.index.options import SearchOptions
from polyvec.index.segment import Segment

SEGMENT_FOLDER = "segments"


@dataclass(frozen=True)
class _LiveSegment:
    record: SegmentRecord
    segment: Segment
    rows: npt.NDArray[np.int64]  # row of each position, ascending
    alive: npt.NDArray[np.int64] | None  # positions not deleted; None: all of them


@dataclass
class Snapshot:
    """The searchable state of an index at one moment; safe to share between threads.

    Raises IndexCorruptError where a file that the catalog lists is missing or damaged.
    """

    folder: Path
    segments: list[_LiveSegment] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, catalog: Catalog, dim: int) -> Snapshot:
        """Map every live segment of the state that the catalog is pinned to."""
        dead = catalog.deleted_rows()
        live = []
        for record in catalog.segments():
            path = _existing(folder / SEGMENT_FOLDER / record.file)
            segment = Segment(path, dim)
            if (segment.n_documents, segment.checksum) != (record.n_documents, record.checksum):
                raise IndexCorruptError(
                    f"{path} is not the file that the catalog lists: {segment.n_documents} documents with checksum "
                    f"{segment.checksum}, expected {record.n_documents} with {record.checksum}."
                )
            rows = record.row_numbers()
            inside = dead[(dead >= record.first_row) & (dead <= record.last_row)]
            alive = np.flatnonzero(~np.isin(rows, inside)).astype(np.int64) if len(inside) else None
            live.append(_LiveSegment(record, segment, rows, alive))
        return cls(folder, live)

    def search(
        self,
        query: npt.NDArray[np.float32],
        options: SearchOptions,
        *,
        subset: npt.NDArray[np.int64] | None = None,
        threads: int | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The best rows for one query, best first, ties by row.

        query: (q, d) float32 unit rows · subset: ascending int64 rows to choose from, None for all.
        Returns (n,) int64 rows and (n,) float32 scores, n <= options.k.
        """
        rows, scores = [], []
        for live in self.segments:
            allowed = _allowed(live, subset)
            if allowed is not None and not len(allowed):
                continue
            positions, found = live.segment.search(query, options, allowed, threads)
            rows.append(live.rows[positions])
            scores.append(found)
        if not rows:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores)
        best = np.lexsort((all_rows, -all_scores))[: options.k]
        return all_rows[best], all_scores[best]

    def vectors(self, row: int) -> npt.NDArray[np.float32]:
        """(t, d) float32: the stored token vectors of one row, as search sees them."""
        live, position = self._locate(row)
        return live.segment.decode(position)

    def token_ids(self, row: int) -> npt.NDArray[np.int32] | None:
        """(t,) int32: vocabulary ids of the row's tokens, None where they were not known."""
        live, position = self._locate(row)
        return live.segment.token_ids(position)

    def _locate(self, row: int) -> tuple[_LiveSegment, int]:
        for live in self.segments:
            if live.record.first_row <= row <= live.record.last_row:
                position = int(np.searchsorted(live.rows, row))
                if position < len(live.rows) and live.rows[position] == row:
                    return live, position
        raise KeyError(row)

    def verify(self) -> list[str]:
        """Read every checksum of every segment; an empty list is good news."""
        return [problem for live in self.segments for problem in live.segment.verify()]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise IndexCorruptError(
            f"{path} is missing, though the catalog lists it. Restore it, or build the index again."
        )
    return path


def _allowed(live: _LiveSegment, subset: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64] | None:
    """Positions inside the segment that may be returned; None: all of them."""
    if subset is None:
        return live.alive
    inside = subset[
        np.searchsorted(subset, live.record.first_row) : np.searchsorted(subset, live.record.last_row, "right")
    ]
    if live.record.rows is None:
        positions = inside - live.record.first_row
    else:
        positions = np.flatnonzero(np.isin(live.rows, inside)).astype(np.int64)
    if live.alive is None:
        return positions
    return np.intersect1d(positions, live.alive, assume_unique=True)
