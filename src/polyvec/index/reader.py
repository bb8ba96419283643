"""What an open reader sees: the segments of one moment, less the rows deleted by then, searched as one.

Turns query vectors into rows and scores. Knows segments by the protocols of engine/protocol.py alone, and nothing about texts,
models or hits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.deadlines import keep_going
from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.catalog.catalog import Catalog, SegmentRecord
from polyvec.index.catalog.settings import CodecRecord, IndexSettings, MeasuredRecall
from polyvec.index.codec.codec import Codec
from polyvec.index.engine.choice import Engines, choose_engines
from polyvec.index.engine.options import SearchOptions, with_recall
from polyvec.index.engine.protocol import Allowed, Engine, OpenSegment
from polyvec.index.format import CODES, missing
from polyvec.index.segment import top_k
from polyvec.scoring import default_threads

SEGMENT_FOLDER = "segments"

Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float32]
Scored = tuple[Int64, Float]  # rows, and the score of each


@dataclass(frozen=True)
class LiveSegment:
    """A segment of a snapshot.

    Attributes:
        record: As the catalog lists it.
        segment: Its open file.
        rows: (n_documents,) int64, ascending: the row of each position.
        alive: (n,) int64, ascending: the positions that are not deleted; None for all of them.
        deleted: The rows that are not alive, as the catalog writes them.
    """

    record: SegmentRecord
    segment: OpenSegment[Any]
    rows: Int64
    alive: Int64 | None
    deleted: str

    @cached_property
    def allowed(self) -> Allowed | None:
        """What is not deleted, for engines; None for all. Made once, since every search asks."""
        return None if self.alive is None else Allowed(self.alive, self.segment.n_documents)


@dataclass(frozen=True, eq=False)
class Scope:
    """What searches of one snapshot choose from, worked out once for all of them; `Snapshot.scope` makes it.

    Attributes:
        rows: (n,) int64, ascending: the rows asked for; None for all.
        groups: The engines that have segments, each with these and with what of them may be returned.
    """

    rows: Int64 | None
    groups: tuple[tuple[Engine[Any, Any], list[LiveSegment], list[Allowed | None]], ...]


@dataclass
class Snapshot:
    """The searchable state of an index at one moment; safe to share between threads.

    Attributes:
        folder: Of the index.
        segments: In row order.
        codec: Of the segments in codes; None where the catalog lists none.
        codec_checksum: Of the codec's file; empty where there is none.
        engines: That opened the segments, by kind.
        curve: What candidate generation found of the exact top 10, by setting.
    """

    folder: Path
    segments: list[LiveSegment] = field(default_factory=list)
    codec: Codec | None = None
    codec_checksum: str = ""
    engines: Engines = field(default_factory=dict)
    curve: Sequence[MeasuredRecall] = ()

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
        engines: Engines | None = None,
    ) -> Snapshot:
        """Map every live segment of the state that the catalog is pinned to.

        Args:
            folder: Of the index.
            catalog: Pinned to that state.
            dim: Of the token vectors.
            before: A snapshot of the same index, whose open files may be used again.
            records: The segments to map; None for all that are live.
            settings: Of that state, where they have been read already.
            engines: To open segments with, by kind; by default those of polyvec.index.engine.choice.

        Raises:
            IndexCorruptError: A file that the catalog lists is missing or damaged.
            StorageError: A file needs another version of polyvec.
        """
        codec_record = (catalog.settings() if settings is None else settings).codec
        checksum = "" if codec_record is None else codec_record.checksum
        codec: Codec | None = None
        if engines is None and before is not None and before.engines and before.codec_checksum == checksum:
            codec, engines = before.codec, before.engines
        elif engines is None:
            codec = _loaded(folder, codec_record)
            engines = choose_engines(dim, codec, checksum)
        opened: dict[tuple[str, str], LiveSegment] = {}
        if before is not None and before.engines is engines:
            opened = {(live.record.file, live.record.checksum): live for live in before.segments}
        live = [
            _live(folder, catalog, record, opened.get((record.file, record.checksum)), engines)
            for record in (catalog.segments() if records is None else records)
        ]
        return cls(folder, live, codec, checksum, engines, () if codec_record is None else codec_record.curve or ())

    def search(
        self,
        query: Float,
        options: SearchOptions,
        *,
        subset: Int64 | None = None,
        threads: int | None = None,
    ) -> Scored:
        """The best rows for one query, as `search_each` has them.

        Args:
            query: (q, d) float32 unit rows.
            options: How to search.
            subset: Ascending int64 rows to choose from; None for all.
            threads: At most this many; None for as many as the machine has.
        """
        return self.search_each([query], options, self.scope(subset), threads=threads)[0]

    def scope(self, subset: Int64 | None = None) -> Scope:
        """What of each segment may be returned.

        Args:
            subset: Ascending int64 rows to choose from; None for all.
        """
        groups = ((engine, group, [_allowed(live, subset) for live in group]) for engine, group in self._by_engine())
        return Scope(subset, tuple(groups))

    def search_each(
        self, queries: Sequence[Float], options: SearchOptions, scope: Scope, *, threads: int | None = None
    ) -> list[Scored]:
        """The best rows for each query, best first, ties by row.

        One after another, with nothing else between them: what one of them brings into the processor's caches serves the next.

        Args:
            queries: Each (q, d) float32 unit rows.
            options: How to search.
            scope: What to choose from.
            threads: At most this many, on one query after another; None for as many as the machine has.

        Returns:
            For each query (n,) int64 rows and (n,) float32 MaxSim, n <= options.k.

        Raises:
            IndexCorruptError: What is stored names something that is not there.
        """
        threads = default_threads() if threads is None else threads
        options = with_recall(options, self.curve)
        found: list[list[Scored]] = [[] for _ in queries]
        for engine, group, allowed in scope.groups:
            segments = [live.segment for live in group]
            whole = [None if one is None else one.positions for one in allowed]
            prepared = [engine.prepare(query) for query in queries]
            for query, parts in zip(prepared, found, strict=True):
                chosen = whole if options.exact else engine.candidates(query, options, segments, allowed, threads)
                parts += [
                    _best(live, positions, _scored(live, positions, query, threads), options.k)
                    for live, positions in zip(group, chosen, strict=True)
                    if positions is None or len(positions)
                ]
        return [_merged(parts, options.k) for parts in found]

    def _by_engine(self) -> Iterator[tuple[Engine[Any, Any], list[LiveSegment]]]:
        """The engines that have segments, with them."""
        for kind, engine in self.engines.items():
            if group := [live for live in self.segments if live.record.kind == kind]:
                yield engine, group

    def vectors(self, row: int) -> npt.NDArray[np.float32]:
        """(t, d) float32: the stored token vectors of one row, as search sees them. Raises KeyError for another row."""
        for live in self.segments:
            if live.record.first_row <= row <= live.record.last_row:
                position = int(np.searchsorted(live.rows, row))
                if position < len(live.rows) and live.rows[position] == row:
                    return live.segment.decode(position)
        raise KeyError(row)

    def verify(self) -> list[str]:
        """Read every checksum of every segment. Returns the problems found; empty if there are none."""
        return [problem for live in self.segments for problem in live.segment.verify()]


def _scored(live: LiveSegment, positions: Int64 | None, query: Any, threads: int) -> Float:
    """Full scores of these positions of a segment; None for all."""
    keep_going()
    return live.segment.score(query, positions, threads)


def _best(live: LiveSegment, positions: Int64 | None, scores: Float, k: int) -> Scored:
    """The k best rows of these positions of a segment, None for all."""
    best = top_k(scores, k)
    return live.rows[best if positions is None else positions[best]], scores[best]


def _merged(parts: Sequence[Scored], k: int) -> Scored:
    """The k best rows of several lists, ties by row."""
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in parts)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in parts)])
    best = np.lexsort((rows, -scores))[:k]
    return rows[best], scores[best]


def _loaded(folder: Path, codec_record: CodecRecord | None) -> Codec | None:
    return None if codec_record is None else Codec.load(folder / SEGMENT_FOLDER / codec_record.file)


def _live(
    folder: Path, catalog: Catalog, record: SegmentRecord, before: LiveSegment | None, engines: Engines
) -> LiveSegment:
    """A segment as the catalog has it now; `before`, which has the same file open, where nothing has changed."""
    path = folder / SEGMENT_FOLDER / record.file
    if before and not path.is_file():
        raise missing(path)
    segment = before.segment if before else _engine_of(record, path, engines).open(path)
    if (segment.n_documents, segment.checksum) != (record.n_documents, record.checksum):
        raise IndexCorruptError(
            f"{path} is not the file that the catalog lists: {segment.n_documents} documents with checksum "
            f"{segment.checksum}, expected {record.n_documents} with {record.checksum}."
        )
    deleted = catalog.deleted_text(record.first_row, record.last_row)
    if before and before.deleted == deleted and _same_rows(before.record, record):
        return before
    rows = record.row_numbers()
    dead = np.fromstring(deleted, np.int64, sep=",") if deleted else np.empty(0, np.int64)
    alive = np.flatnonzero(~np.isin(rows, dead)).astype(np.int64) if len(dead) else None
    return LiveSegment(record, segment, rows, alive, deleted)


def _engine_of(record: SegmentRecord, path: Path, engines: Engines) -> Engine[Any, Any]:
    if record.kind in engines:
        return engines[record.kind]
    if record.kind == CODES:
        raise IndexCorruptError(f"{path} is in codes, but the catalog lists no codec.")
    raise StorageError(
        f"{path} is a segment of kind {record.kind!r}, which this polyvec does not know. Upgrade polyvec."
    )


def _same_rows(one: SegmentRecord, other: SegmentRecord) -> bool:
    if (one.first_row, one.last_row) != (other.first_row, other.last_row):
        return False
    return one.rows is other.rows or (
        one.rows is not None and other.rows is not None and np.array_equal(one.rows, other.rows)
    )


def _allowed(live: LiveSegment, subset: Int64 | None) -> Allowed | None:
    """What of a segment may be returned; None: all of it."""
    if subset is None:
        return live.allowed
    begin = int(np.searchsorted(subset, live.record.first_row))
    inside = subset[begin : int(np.searchsorted(subset, live.record.last_row, "right"))]
    positions = inside - live.record.first_row
    if live.record.rows is not None:
        positions = np.flatnonzero(np.isin(live.rows, inside)).astype(np.int64)
    if live.allowed is not None:
        positions = positions[live.allowed.mask[positions] != 0]
    return Allowed(positions, live.segment.n_documents)
