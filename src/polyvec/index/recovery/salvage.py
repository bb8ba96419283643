"""A damaged segment -> the documents in it that are right, those that may have changed, and those that cannot be.

Primary are the vectors or codes; everything else is derived from them and from the catalog: where documents begin, postings.
Knows nothing about texts; changes nothing on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.catalog import SegmentRecord
from polyvec.index.codec.codec import Codec, Codes
from polyvec.index.coded_segment import derived_postings
from polyvec.index.format import ALIGNMENT, CODES, VECTORS
from polyvec.index.recovery.damaged_file import DamagedFile, Layout, Planned, placed
from polyvec.scoring import default_threads

_CHUNK = 1 << 16  # token vectors read at once
_MOST_TRIALS = 20_000  # ways to place documents that are compared with the checksum
_MOST_TRIED = 1 << 26  # offsets in all of them together
_UNIT = 0.01  # how far from 1 the length of a stored unit vector may be

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass
class Salvaged:
    """What is left of one segment, by the position of its documents; `StoredDocuments` of the engine's protocol.

    Attributes:
        record: As the catalog lists it.
        file: Read for repair.
        offsets: (n_documents + 1,) int64, where each document begins.
        gone: (n_documents,) bool: the document's vectors are cut off or impossible.
        doubtful: (n_documents,) bool: the document is in a damaged block, so that values may have changed.
        codec: Of a segment in codes.
        codec_checksum: Of that codec, in hex.
    """

    record: SegmentRecord
    file: DamagedFile
    offsets: Int64
    gone: Bools
    doubtful: Bools
    codec: Codec | None = None
    codec_checksum: str = "0"
    _vectors: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))
    _codes: Codes | None = None

    @property
    def whole(self) -> bool:
        """Whether the file can be written as it was."""
        return self.file.right and not self.gone.any() and not self.doubtful.any()

    def decode(self, position: int) -> npt.NDArray[np.float32]:
        """(t, dim) float32: one document's vectors as search sees them."""
        rows = self._tokens(position)
        if self._codes is not None:
            assert self.codec is not None
            return self.codec.decode(_rows_of(self._codes, rows))
        vectors: npt.NDArray[np.float32] = self._vectors[rows].astype(np.float32)
        return vectors

    def codes(self, positions: Int64, codec_checksum: str) -> Codes | None:
        """The codes of these documents, one after another; None where they are in none, or of another codec."""
        if self._codes is None or int(codec_checksum, 16) != int(self.codec_checksum, 16):
            return None
        rows = np.concatenate(
            [np.arange(*self._tokens(position).indices(self.record.n_tokens)[:2]) for position in positions.tolist()]
        )
        return _rows_of(self._codes, rows)

    def _tokens(self, position: int) -> slice:
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))


def _rows_of(codes: Codes, rows: slice | Int64) -> Codes:
    return Codes(codes.centroids[rows].astype(np.uint32), codes.scales[rows], codes.packed[rows])


def salvage(
    path: Path, record: SegmentRecord, lengths: dict[int, int], dim: int, codec: Codec | None, codec_checksum: str
) -> Salvaged:
    """What is left of a segment.

    Args:
        path: The file, at its place or where an earlier repair put it.
        record: What the catalog lists.
        lengths: Token counts that the catalog has, by position, of live documents.
        dim: Of the token vectors.
        codec: What a coded segment was made with.
        codec_checksum: Of the codec, as the catalog lists it.

    Raises:
        IndexCorruptError: Where nothing of the file can be used.
    """
    coded = codec if record.coded else None
    file = DamagedFile(
        path,
        record.checksum,
        record.size_bytes,
        lambda: _layouts(record, dim, coded),
        CODES if record.coded else VECTORS,
    )
    offsets, misplaced = _offsets(file, record, lengths)
    gone = misplaced.copy()
    found = Salvaged(record, file, offsets, gone, np.zeros(record.n_documents, np.bool_), coded, codec_checksum)
    if coded is None:
        _examine_vectors(found)
    else:
        _examine_codes(found)
    file.prove_page()
    if file.right:
        found.gone, found.doubtful = misplaced & False, _touched(found)
    found.doubtful &= ~found.gone
    return found


def _layouts(record: SegmentRecord, dim: int, codec: Codec | None) -> list[Layout]:
    """The ways in which a segment of so many documents and tokens may lie in its file."""
    tokens, documents = record.n_tokens, record.n_documents
    offsets = Planned("offsets", "<u4" if tokens < 1 << 32 else "<i8", documents + 1)
    if codec is None:
        return [[Planned("vectors", "<f2", tokens, dim), offsets]]
    layout = [
        Planned("codec_checksum", "<u4", 1),
        Planned("residuals", "|u1", tokens, codec.packed_width),
        Planned("codes", codec.code_dtype, tokens),
        *([Planned("scales", "|u1", tokens)] if codec.has_scales else []),
        offsets,
    ]
    layouts: list[Layout] = [layout]
    starts = len(codec.centroids) + 1
    room = record.size_bytes - 4 * starts - _end(layout)  # for postings, which end 64 bytes before at most
    for length in range(max(room - 2 * ALIGNMENT, 0), max(room, 0) + 1):
        postings = Planned("postings", "|u1", length, optional=True)
        layouts.append([*layout, postings, Planned("posting_offsets", "<u4", starts, optional=True)])
    return layouts


def _end(layout: Layout) -> int:
    return placed(layout)[1]


def _offsets(file: DamagedFile, record: SegmentRecord, lengths: dict[int, int]) -> tuple[Int64, Bools]:
    """Where documents begin, and which have no known place. From their block, or from the catalog's token counts."""
    documents, tokens = record.n_documents, record.n_tokens
    none = np.zeros(documents, np.bool_)
    if file.is_right("offsets") and not file.parts["offsets"].changed:
        return file.array("offsets").astype(np.int64), none
    stored = file.array("offsets").astype(np.int64) if "offsets" in file.parts else np.empty(0, np.int64)
    offsets = np.full(documents + 1, -1, np.int64)
    last_end, last_position = 0, 0
    for begin, end in _runs(sorted(lengths)):
        ends = np.cumsum([lengths[position] for position in range(begin, end)])
        before = np.concatenate([[0], ends])
        most = tokens - int(ends[-1]) - (documents - end)  # dead documents have a token at least
        lowest = last_end + begin - last_position
        votes: Counter[int] = Counter()
        if begin == last_position:
            votes[last_end] += documents + 2
        if end == documents:
            votes[tokens - int(ends[-1])] += documents + 2
        known = stored[begin : min(end + 1, len(stored))]
        votes.update((known - before[: len(known)]).tolist())
        start = next((start for start, _ in votes.most_common() if lowest <= start <= most), None)
        if start is None:
            continue
        offsets[begin : end + 1] = start + before
        last_end, last_position = int(offsets[end]), end
    offsets[0], offsets[documents] = 0, tokens
    misplaced = np.array([position in lengths and offsets[position + 1] < 0 for position in range(documents)], np.bool_)
    for place in np.flatnonzero(offsets[: len(stored)] < 0).tolist():  # between dead documents, what is stored will do
        after = offsets[place:][offsets[place:] >= 0][0]
        if offsets[place - 1] >= 0 and offsets[place - 1] < stored[place] < after and (place - 1) not in lengths:
            offsets[place] = stored[place]
    for trial in _completed(offsets, lengths):
        if file.put("offsets", trial):
            return trial, none
    known = np.flatnonzero(offsets >= 0)
    return np.interp(np.arange(documents + 1), known, offsets[known]).astype(np.int64), misplaced


def _completed(offsets: Int64, lengths: dict[int, int]) -> Iterator[Int64]:
    """Offsets that go with what is known of them and with the lengths of live documents; none where there are too many."""
    known = np.flatnonzero(offsets >= 0)
    gaps = [(int(first), int(last)) for first, last in pairwise(known) if last > first + 1]
    choices = []
    many = 1
    for first, last in gaps:
        dead = [position for position in range(first, last) if position not in lengths]
        left = int(offsets[last] - offsets[first]) - sum(lengths.get(position, 0) for position in range(first, last))
        many *= comb(left - 1, len(dead) - 1) if dead and left >= len(dead) else int(left == 0 and not dead)
        choices.append((first, last, dead, left))
    if not 0 < many <= _MOST_TRIALS or many * len(offsets) > _MOST_TRIED:
        return
    for cuts in product(*(combinations(range(1, left), max(len(dead) - 1, 0)) for _, _, dead, left in choices)):
        trial = offsets.copy()
        for (first, last, dead, left), cut in zip(choices, cuts, strict=True):
            sizes = dict(zip(dead, np.diff([0, *cut, left]).tolist(), strict=False))
            for position in range(first, last - 1):
                trial[position + 1] = trial[position] + lengths.get(position, sizes.get(position, 0))
        yield trial


def _runs(positions: list[int]) -> list[tuple[int, int]]:
    """Ascending positions as ranges without gaps."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs


def _examine_vectors(found: Salvaged) -> None:
    part = found.file.parts.get("vectors")
    rows = 0 if part is None else part.rows
    found._vectors = found.file.array("vectors") if part is not None else np.empty((0, 1), np.float16)
    found.gone |= found.offsets[1:] > rows
    if part is None or part.right or rows == 0:
        found.doubtful |= _touched(found)
        return
    lengths = np.concatenate([_lengths(found._vectors[start : start + _CHUNK]) for start in range(0, rows, _CHUNK)])
    impossible = ~np.isfinite(lengths) | (lengths == 0)
    off = ~(np.abs(lengths - 1) < _UNIT)
    if off.mean() < 0.5:  # an index of unit vectors
        impossible |= off
    _mark(found, impossible)
    if part.rows == part.block.rows:
        found.doubtful[:] = True


def _lengths(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    wide = rows.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: npt.NDArray[np.float32] = np.sqrt((wide * wide).sum(axis=1))
    return lengths


def _mark(found: Salvaged, impossible: Bools) -> None:
    """Documents with an impossible token vector are gone."""
    bad = np.flatnonzero(impossible)
    positions = np.searchsorted(found.offsets, bad, side="right") - 1
    found.gone[np.unique(positions[(positions >= 0) & (positions < len(found.gone))])] = True


def _touched(found: Salvaged) -> Bools:
    """Documents in which a flipped bit was put right that could have been other damage."""
    touched = np.zeros(len(found.gone), np.bool_)
    for name, part in found.file.parts.items():
        if name in ("vectors", "residuals", "codes", "scales"):
            positions = np.searchsorted(found.offsets, part.changed, side="right") - 1
            touched[positions[(positions >= 0) & (positions < len(touched))]] = True
    return touched


def _examine_codes(found: Salvaged) -> None:
    file, codec = found.file, found.codec
    assert codec is not None
    tokens = found.record.n_tokens
    if "codec_checksum" in file.parts and not file.is_right("codec_checksum"):
        file.put("codec_checksum", np.array([int(found.codec_checksum, 16)], np.uint32))
    packed = file.array("residuals")
    rows = len(packed)
    eight = not codec.has_scales  # residuals are the whole vectors
    if eight:
        scales = np.zeros(tokens, np.uint8)
        if not file.is_right("codes"):
            file.put("codes", _codes_again(codec, packed, tokens))
        centroids = file.array("codes") if file.is_right("codes") else _codes_again(codec, packed, tokens)
        found._codes = Codes(np.asarray(centroids, np.uint32), scales, packed)
    else:
        centroids, scales = file.array("codes"), file.array("scales")
        rows = min(rows, len(centroids), len(scales))
        found._codes = Codes(centroids, scales, packed)
    found.gone |= found.offsets[1:] > rows
    if not eight and not file.is_right("codes"):
        _mark(found, found._codes.centroids[:rows] >= len(codec.centroids))
    primary = ("residuals",) if eight else ("residuals", "codes", "scales")
    if any(not file.is_right(name) and file.parts[name].rows == file.parts[name].block.rows for name in primary):
        found.doubtful[:] = True
    if not file.is_right("residuals") and rows:
        blank = np.zeros(rows, np.bool_)
        for start in range(0, rows, _CHUNK):
            blank[start : start + _CHUNK] = ~np.asarray(packed[start : min(start + _CHUNK, rows)]).any(axis=1)
        if eight:
            _mark(found, blank)
    found.doubtful |= _touched(found)
    _derive_postings(found, len(codec.centroids))


def _codes_again(codec: Codec, packed: npt.NDArray[np.uint8], tokens: int) -> npt.NDArray[np.uint32]:
    """(tokens,) uint32: the centroids of vectors of 8 bits, encoded again; 0 for those that are cut off."""
    codes = np.zeros(tokens, np.uint32)
    for start in range(0, len(packed), _CHUNK):
        end = min(start + _CHUNK, len(packed))
        zeros = np.zeros(end - start, np.uint8)
        decoded = codec.decode(Codes(codes[start:end], zeros, np.asarray(packed[start:end])))
        codes[start:end] = codec.encode(decoded, threads=default_threads()).centroids
    return codes


def _derive_postings(found: Salvaged, centroids: int) -> None:
    file = found.file
    there = "postings" in file.parts and not (file.is_right("postings") and file.is_right("posting_offsets"))
    primary = [name for name in ("residuals", "codes", "scales") if name in file.parts]
    if there and found._codes is not None and all(file.is_right(name) for name in primary):
        stream, starts = derived_postings(found._codes.centroids, np.diff(found.offsets), centroids)
        file.put("postings", stream)
        file.put("posting_offsets", starts)
