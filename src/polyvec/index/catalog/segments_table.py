"""The live segments of an index, and which of their rows no document owns any more.

Tables of the catalog: each segment covers one range of rows, and no two overlap. Knows nothing about what is in the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.database import Database
from polyvec.index.format import CODES

_LAST_ROW = (1 << 63) - 1
_COLUMNS = "segment, file, first_row, last_row, rows, n_documents, n_tokens, size_bytes, checksum, kind"

SEGMENTS_SCHEMA = """
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    rows BLOB,                          -- int32 offsets from first_row, where compaction left holes
    n_documents INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    kind TEXT NOT NULL                  -- of the file: 'vectors', or 'codes' of the codec that meta names
);
CREATE TABLE deleted_rows (row INTEGER PRIMARY KEY)"""


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """One live segment, as the catalog knows it."""

    segment: int
    file: str
    first_row: int
    last_row: int
    rows: npt.NDArray[np.int64] | None
    n_documents: int
    n_tokens: int
    size_bytes: int
    checksum: str
    kind: str

    @property
    def coded(self) -> bool:
        """Whether it is in codes."""
        return self.kind == CODES

    def row_numbers(self) -> npt.NDArray[np.int64]:
        """(n_documents,) int64: the row of each position of the segment, ascending."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.first_row, self.last_row + 1, dtype=np.int64)


class SegmentsTable(Database):
    """Segments in row order, and the dead rows in them."""

    def segments(self) -> list[SegmentRecord]:
        """The live segments, in row order."""
        records = []
        for values in self._rows(f"SELECT {_COLUMNS} FROM segments ORDER BY first_row"):
            record = dict(zip(_COLUMNS.split(", "), values, strict=True))
            blob = record.pop("rows")
            rows = None
            if blob is not None:
                rows = np.frombuffer(blob, dtype="<i4").astype(np.int64) + record["first_row"]
            records.append(SegmentRecord(rows=rows, **record))
        return records

    def rename_segment_file(self, segment: int, file: str) -> None:
        """Say that a segment's file has another name; call inside a transaction."""
        self._rows("UPDATE segments SET file = ? WHERE segment = ?", (file, segment))

    def insert_segment(self, record: SegmentRecord) -> None:
        """Make a finished segment file live; call inside a transaction."""
        blob = None
        if record.rows is not None:
            blob = (record.rows - record.first_row).astype("<i4").tobytes()
        self._connection.execute(
            f"INSERT INTO segments ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.segment,
                record.file,
                record.first_row,
                record.last_row,
                blob,
                record.n_documents,
                record.n_tokens,
                record.size_bytes,
                record.checksum,
                record.kind,
            ),
        )

    def remove_segments(self, segments: Iterable[SegmentRecord]) -> None:
        """Retire segments and the dead rows they held; call inside a transaction."""
        for record in segments:
            self._connection.execute("DELETE FROM segments WHERE segment = ?", (record.segment,))
            self._connection.execute(
                "DELETE FROM deleted_rows WHERE row BETWEEN ? AND ?", (record.first_row, record.last_row)
            )

    def deleted_rows(self, first: int = 0, last: int = _LAST_ROW) -> npt.NDArray[np.int64]:
        """(n,) int64, ascending: rows from first to last that segments still hold but no document owns."""
        query = "SELECT row FROM deleted_rows WHERE row BETWEEN ? AND ? ORDER BY row"
        return np.array([row for (row,) in self._rows(query, (first, last))], dtype=np.int64)

    def deleted_text(self, first: int = 0, last: int = _LAST_ROW) -> str:
        """`deleted_rows` as one text, "3,7,12": to see at little cost whether they are the same as before."""
        rows = "SELECT row FROM deleted_rows WHERE row BETWEEN ? AND ? ORDER BY row"
        return str(self._rows(f"SELECT coalesce(group_concat(row), '') FROM ({rows})", (first, last))[0][0])

    def count_deleted(self, first: int = 0, last: int = _LAST_ROW) -> int:
        """How many rows from first to last are dead; costs by that number, not by the size of the index."""
        return int(self._rows("SELECT count(*) FROM deleted_rows WHERE row BETWEEN ? AND ?", (first, last))[0][0])

    def set_deleted(self, rows: Iterable[int]) -> None:
        """Mark rows that no document owns as dead; call inside a transaction."""
        self._connection.executemany("INSERT OR IGNORE INTO deleted_rows VALUES (?)", [(int(row),) for row in rows])

    def unset_deleted(self, rows: Iterable[int]) -> None:
        """Take the mark off rows that documents own; call inside a transaction."""
        self._connection.executemany("DELETE FROM deleted_rows WHERE row = ?", [(int(row),) for row in rows])
