"""What an open reader sees: the segments of one moment, less the rows deleted by then, searched as one.

Turns query vectors into rows and scores: of candidates alone where documents are many and in codes, otherwise of all.
Knows nothing about texts, models or hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.deadlines import keep_going
from polyvec.errors import IndexCorruptError
from polyvec.index.catalog.catalog import Catalog, SegmentRecord
from polyvec.index.catalog.settings import IndexSettings, MeasuredRecall
from polyvec.index.codec.codec import Codec, CodedQuery
from polyvec.index.coded_segment import CodedSegment
from polyvec.index.engine.candidates import find_candidates
from polyvec.index.engine.options import SearchOptions, with_recall
from polyvec.index.segment import Segment, top_k
from polyvec.scoring import default_threads

SEGMENT_FOLDER = "segments"

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _LiveSegment:
    record: SegmentRecord
    segment: Segment | CodedSegment
    rows: npt.NDArray[np.int64]  # row of each position, ascending
    alive: npt.NDArray[np.int64] | None  # positions not deleted; None: all of them
    deleted: str  # the rows that are not alive, as the catalog tells them


@dataclass
class Snapshot:
    """The searchable state of an index at one moment; safe to share between threads.

    Raises IndexCorruptError where a file that the catalog lists is missing or damaged.
    """

    folder: Path
    segments: list[_LiveSegment] = field(default_factory=list)
    codec: Codec | None = None
    codec_checksum: str = ""
    curve: Sequence[MeasuredRecall] = ()  # what probing found of the exact top 10, by settings

    @classmethod
    def open(
        cls,
        folder: Path,
        catalog: Catalog,
        dim: int,
        *,
        before: Snapshot | None = None,
        records: Sequence[SegmentRecord] | None = None,
        settings: IndexSettings | None = None,
    ) -> Snapshot:
        """Map every live segment of the state that the catalog is pinned to, or those of `records` alone.

        before: whose open files may be used again · settings: of that state, where they have been read already.
        """
        described = (catalog.settings() if settings is None else settings).codec
        checksum = "" if described is None else described.checksum
        codec = None
        if described is not None:
            known = before is not None and before.codec_checksum == checksum
            codec = (
                before.codec if before and known else Codec.load(_existing(folder / SEGMENT_FOLDER / described.file))
            )
        opened = {} if before is None else {(live.record.file, live.record.checksum): live for live in before.segments}
        live = []
        for record in catalog.segments() if records is None else records:
            path = _existing(folder / SEGMENT_FOLDER / record.file)
            segment: Segment | CodedSegment
            kept = opened.get((record.file, record.checksum))
            if kept:
                segment = kept.segment
            elif record.coded:
                if codec is None or described is None:
                    raise IndexCorruptError(f"{path} is in codes, but the catalog lists no codec.")
                segment = CodedSegment(path, codec, described.checksum)
            else:
                segment = Segment(path, dim)
            if (segment.n_documents, segment.checksum) != (record.n_documents, record.checksum):
                raise IndexCorruptError(
                    f"{path} is not the file that the catalog lists: {segment.n_documents} documents with checksum "
                    f"{segment.checksum}, expected {record.n_documents} with {record.checksum}."
                )
            deleted = catalog.deleted_text(record.first_row, record.last_row)
            if kept and kept.deleted == deleted and _same_rows(kept.record, record):
                live.append(kept)
                continue
            rows = record.row_numbers()
            dead = np.fromstring(deleted, np.int64, sep=",") if deleted else np.empty(0, np.int64)
            alive = np.flatnonzero(~np.isin(rows, dead)).astype(np.int64) if len(dead) else None
            live.append(_LiveSegment(record, segment, rows, alive, deleted))
        return cls(folder, live, codec, checksum, () if described is None else described.curve or ())

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
        threads = default_threads() if threads is None else threads
        options = with_recall(options, self.curve)
        coded = None if self.codec is None else self.codec.query(query)
        wanted = {id(live): _allowed(live, subset) for live in self.segments}
        chosen = self._candidates(coded, options, wanted, threads) if coded is not None and not options.exact else {}
        rows, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for live in self.segments:
            positions = chosen.get(id(live), wanted[id(live)])
            if positions is not None and not len(positions):
                continue
            keep_going()
            if isinstance(live.segment, CodedSegment):
                assert coded is not None
                found = live.segment.score(coded, positions, threads)
            else:
                found = live.segment.score(query, positions, threads)
            best = top_k(found, options.k)
            rows.append(live.rows[best if positions is None else positions[best]])
            scores.append(found[best])
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores)
        best = np.lexsort((all_rows, -all_scores))[: options.k]
        return all_rows[best], all_scores[best]

    def _candidates(
        self, query: CodedQuery, options: SearchOptions, wanted: dict[int, Int64 | None], threads: int
    ) -> dict[int, Int64]:
        """The positions of each coded segment that are worth a full score; segments that are not named are scored whole."""
        assert self.codec is not None
        probed = [
            live for live in self.segments if isinstance(live.segment, CodedSegment) and live.segment.has_postings
        ]
        if sum(_size(wanted[id(live)], live.segment.n_documents) for live in probed) <= options.enough:
            return {}
        segments = [live.segment for live in probed if isinstance(live.segment, CodedSegment)]
        masks = [_mask(wanted[id(live)], live.segment.n_documents) for live in probed]
        best = find_candidates(self.codec, query, options, segments, masks, threads)
        return {id(live): positions for live, positions in zip(probed, best, strict=True)}

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
        """Read every checksum of every segment. Returns the problems found; empty if there are none."""
        return [problem for live in self.segments for problem in live.segment.verify()]


def _size(positions: Int64 | None, documents: int) -> int:
    return documents if positions is None else len(positions)


def _mask(positions: Int64 | None, documents: int) -> npt.NDArray[np.uint8] | None:
    if positions is None:
        return None
    mask = np.zeros(documents, np.uint8)
    mask[positions] = 1
    return mask


def _same_rows(one: SegmentRecord, other: SegmentRecord) -> bool:
    if (one.first_row, one.last_row) != (other.first_row, other.last_row):
        return False
    return one.rows is other.rows or (
        one.rows is not None and other.rows is not None and np.array_equal(one.rows, other.rows)
    )


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
