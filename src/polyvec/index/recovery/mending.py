"""A damaged index -> what is wrong with it and what can be done, decided before anything is changed; then that, in one transaction.

Token vectors are not made anew here: documents that lost theirs stay, and polyvec.collection.repair encodes their texts. Files
that are
replaced are kept in the folder `damaged`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index.catalog.catalog import Catalog, SegmentRecord
from polyvec.index.catalog.settings import CodecRecord, IndexSettings
from polyvec.index.codec.codec import Codec
from polyvec.index.engine.choice import choose_engines
from polyvec.index.format import CODES, VECTORS
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.index.recovery.checking import keyword_problems, row_problems
from polyvec.index.recovery.damaged_codec import salvage_codec
from polyvec.index.recovery.damaged_file import DamagedFile
from polyvec.index.recovery.salvage import Salvaged, salvage
from polyvec.index.upkeep.leftovers import DAMAGED_FOLDER, keep_copy
from polyvec.index.upkeep.merging import segment_writer
from polyvec.index.writing.new_segment import segment_record, unused_file

_BATCH = 256  # documents written at once

Int64 = npt.NDArray[np.int64]


def _no_rows() -> Int64:
    return np.empty(0, np.int64)


@dataclass
class Plan:
    """What a repair does. Rows: of live documents."""

    actions: list[str] = field(default_factory=list)
    restored: list[tuple[Path, DamagedFile]] = field(default_factory=list)  # files that are written as they were
    rewritten: list[tuple[Salvaged, Int64]] = field(default_factory=list)  # segments, and the positions kept of each
    dropped: list[SegmentRecord] = field(default_factory=list)
    drop_codec: bool = False
    counts: list[tuple[int, int]] = field(default_factory=list)  # token counts that the catalog has wrong: count, row
    encode: Int64 = field(default_factory=_no_rows)  # rows to encode again from their texts
    lost: Int64 = field(default_factory=_no_rows)
    altered: Int64 = field(default_factory=_no_rows)  # rows that are kept though values may have changed
    aside: list[Path] = field(default_factory=list)  # files that go to `damaged`
    keywords: bool = False


def check_catalog(folder: Path, catalog: Catalog) -> None:
    """Raise IndexCorruptError where the catalog itself is damaged: nothing else holds what it holds."""
    try:
        problems = catalog.integrity()
        catalog.settings()
        for _ in catalog.all_documents():
            pass
    except (IndexCorruptError, ValueError) as error:
        problems = [str(error).rstrip(".")]
    if problems:
        raise IndexCorruptError(
            f"{problems[0]}. The catalog holds the ids and texts, and cannot be repaired: restore {folder} from a copy, or "
            "build it again. Nothing was changed."
        )


def plan_repair(folder: Path, catalog: Catalog) -> Plan:
    """What is wrong and what can be done; changes nothing."""
    plan = Plan()
    settings = catalog.settings()
    codec, doubtful = _planned_codec(folder, settings, plan)
    last = -1
    held: list[Int64] = []
    altered: list[Int64] = []
    for record in catalog.segments():
        rows = record.row_numbers()
        live = np.isin(rows, catalog.row_numbers()) & (rows > last)
        last = max(last, record.last_row)
        if (
            len(rows) == record.n_documents
            and not (plan.drop_codec and record.coded)
            and (rows[0] > last or live.any())
        ):
            problem, counts = _examined(folder, catalog, record, settings.dim, codec)
            if not problem and not _overlaps(catalog, record):
                plan.counts += counts
                held.append(rows)
                continue
        found = _salvaged(folder, catalog, record, settings.dim, codec, settings.codec, plan)
        if found is None:
            plan.dropped.append(record)
            continue
        if doubtful and record.coded:
            found.doubtful |= ~found.gone
        if found.whole and not (plan.drop_codec and record.coded) and not _overlaps(catalog, record):
            plan.restored.append((folder / SEGMENT_FOLDER / record.file, found.file))
            held.append(rows)
            continue
        texts = np.isin(rows, catalog.text_rows())
        kept = live & ~found.gone & ~(found.doubtful & texts)
        plan.rewritten.append((found, np.flatnonzero(kept)))
        held.append(rows[kept])
        altered.append(rows[kept & found.doubtful])
    _account(catalog, plan, held, altered)
    return plan


def apply(folder: Path, catalog: Catalog, plan: Plan) -> list[Path]:
    """Do what was planned. Interrupted, it leaves the index as it was, and the files to keep in both places.

    Args:
        folder: Of the index.
        catalog: Open for writing.
        plan: Made of this state.

    Returns:
        Where the files that were replaced are now: in the folder `damaged`.
    """
    settings = catalog.settings()
    kept = [keep_copy(folder, path) for path in plan.aside]
    for path, file in plan.restored:
        file.write(path)
    replaced = [found.record for found, _ in plan.rewritten] + plan.dropped
    codec_record = None if plan.drop_codec else settings.codec
    written = [
        _rewritten(folder, catalog, found, positions, settings.dim, codec_record)
        for found, positions in plan.rewritten
        if len(positions)
    ]
    if replaced or plan.drop_codec or len(plan.lost) or plan.counts or plan.keywords:
        with catalog.transaction():
            catalog.remove_segments(replaced)
            for record in written:
                catalog.insert_segment(record)
            catalog.remove_documents(plan.lost)
            catalog.set_token_counts(plan.counts)
            if plan.drop_codec:
                catalog.drop_codec()
            if written:
                catalog.set_settings(next_segment=max(record.segment for record in written) + 1)
            if plan.keywords:
                catalog.rebuild_keywords()
    names = {path.name for path, _ in plan.restored}
    for path in plan.aside:
        if path.parent.name == SEGMENT_FOLDER and path.name not in names:
            path.unlink(missing_ok=True)
    mend_rows(catalog)
    return kept


def mend_rows(catalog: Catalog) -> int:
    """Put right which rows are marked as deleted. Returns how many marks were wrong."""
    wrong = row_problems(catalog)
    unowned = wrong["token vectors without a document"]
    both = wrong["rows both live and deleted"]
    nowhere = wrong["deleted rows that no segment holds"]
    if count := len(unowned) + len(both) + len(nowhere):
        with catalog.transaction():
            catalog.set_deleted(unowned)
            catalog.unset_deleted([*both, *nowhere])
    return count


def _planned_codec(folder: Path, settings: IndexSettings, plan: Plan) -> tuple[Codec | None, bool]:
    """The codec to read coded segments with, and whether what it decodes may have changed."""
    codec_record = settings.codec
    if codec_record is None:
        return None, False
    path = folder / SEGMENT_FOLDER / codec_record.file
    try:
        return Codec.load(path), False
    except (IndexCorruptError, OSError):
        pass
    problems: list[str] = []
    for source in _sources(folder, codec_record.file, codec_record.checksum):
        found = salvage_codec(source, codec_record, settings.dim, settings.nbits)
        problems += found.problems
        if found.codec is not None:
            break
    else:
        plan.drop_codec = True
        plan.actions += problems or [f"{path} is missing"]
        plan.actions.append(f"{path.name}: what is in its codes cannot be read")
        plan.aside += _present(path)
        return None, False
    plan.actions += problems or [f"{path} is missing, and is found as {source.name}"]
    plan.aside += _present(path)
    if found.restored is not None:
        plan.restored.append((path, found.restored))
        plan.actions.append(f"{path.name}: written as it was")
    else:
        plan.drop_codec = True
        plan.actions.append(
            f"{path.name}: what is in its codes is decoded to fp16, until the next compaction trains a new codec"
        )
    return found.codec, found.doubtful


def _examined(
    folder: Path, catalog: Catalog, record: SegmentRecord, dim: int, codec: Codec | None
) -> tuple[str, list[tuple[int, int]]]:
    """What is wrong with a segment, and the token counts that the catalog has wrong of one that is right."""
    try:
        codec_record = catalog.settings().codec
        engines = choose_engines(dim, codec, "" if codec_record is None else codec_record.checksum)
        snapshot = Snapshot.open(folder, catalog, dim, records=[record], engines=engines)
        if problems := snapshot.verify():
            return problems[0], []
    except (IndexCorruptError, OSError) as error:
        return str(error), []
    lengths = dict(zip(record.row_numbers().tolist(), snapshot.segments[0].segment.doclens.tolist(), strict=True))
    stored = _lengths(catalog, record)
    return "", [(lengths[row], row) for row, count in stored.items() if lengths.get(row, count) != count]


def _salvaged(
    folder: Path,
    catalog: Catalog,
    record: SegmentRecord,
    dim: int,
    codec: Codec | None,
    codec_record: CodecRecord | None,
    plan: Plan,
) -> Salvaged | None:
    """What is left of a segment, from its own file or one with its content; None where nothing is."""
    path = folder / SEGMENT_FOLDER / record.file
    rows = record.row_numbers()
    problems: list[str] = []
    plan.aside += _present(path)
    if len(rows) != record.n_documents:
        problems.append(f"{record.file}: the catalog lists {record.n_documents} documents in {len(rows)} rows")
    elif record.coded and (codec is None or codec_record is None):
        problems.append(f"{record.file}: its codec cannot be read")
    else:
        place = dict(zip(rows.tolist(), range(len(rows)), strict=True))
        lengths = {place[row]: count for row, count in _lengths(catalog, record).items() if row in place}
        checksum = "0" if codec_record is None else codec_record.checksum
        for source in _sources(folder, record.file, record.checksum):
            try:
                found = salvage(source, record, lengths, dim, codec, checksum)
            except IndexCorruptError as error:
                problems.append(str(error))
                continue
            done = "written as it was" if found.whole else "written anew from what is left of it"
            plan.actions += found.file.problems
            plan.actions.append(f"{record.file}: {done}")
            return found
    plan.actions += problems or [f"{path} is missing"]
    plan.actions.append(f"{record.file}: taken off the list")
    return None


def _sources(folder: Path, name: str, checksum: str) -> list[Path]:
    """Files that may hold what a listed file should: itself, what an earlier repair put aside, and others with its checksum."""
    own = folder / SEGMENT_FOLDER / name
    aside = folder / DAMAGED_FOLDER
    others = []
    for place in (folder / SEGMENT_FOLDER, aside):
        if place.is_dir():
            others += [path for path in sorted(place.iterdir()) if path.name != name or place == aside]
    wanted = int(checksum, 16).to_bytes(4, "little")
    found = [own] if own.is_file() else []
    return found + [path for path in others if _first_bytes(path)[24:28] == wanted]


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(28)
    except OSError:
        return b""


def _present(path: Path) -> list[Path]:
    return [path] if path.is_file() else []


def _overlaps(catalog: Catalog, record: SegmentRecord) -> bool:
    return any(
        other.first_row <= record.first_row <= other.last_row and other.segment != record.segment
        for other in catalog.segments()
    )


def _lengths(catalog: Catalog, record: SegmentRecord) -> dict[int, int]:
    """Token counts that the catalog has of live documents, by row."""
    rows = catalog.row_numbers()
    inside = rows[(rows >= record.first_row) & (rows <= record.last_row)].tolist()
    return dict(zip(inside, catalog.token_counts(record.first_row, record.last_row).tolist(), strict=True))


def _account(catalog: Catalog, plan: Plan, held: list[Int64], altered: list[Int64]) -> None:
    """Which documents are left without vectors, and which rules between the tables are broken."""
    live, texts = catalog.row_numbers(), catalog.text_rows()
    stored = np.concatenate(held) if held else _no_rows()
    bare = np.setdiff1d(live, stored)
    plan.encode, plan.lost = np.intersect1d(bare, texts), np.setdiff1d(bare, texts)
    plan.altered = np.concatenate(altered) if altered else _no_rows()
    if plan.counts:
        plan.actions.append(f"token counts of {len(plan.counts)} documents: put right")
    wrong = row_problems(catalog)
    marks = sum(
        len(wrong[name])
        for name in (
            "token vectors without a document",
            "rows both live and deleted",
            "deleted rows that no segment holds",
        )
    )
    if marks:
        plan.actions.append(f"{marks} marks of deleted rows: put right")
    if problems := keyword_problems(catalog):
        plan.keywords = True
        plan.actions.append(f"{problems[0]}: made anew from the texts")


def _rewritten(
    folder: Path, catalog: Catalog, found: Salvaged, positions: Int64, dim: int, codec_record: CodecRecord | None
) -> SegmentRecord:
    """Write the kept documents of a segment to a new file, in codes where the codec stays."""
    coded = found.record.coded and codec_record is not None
    number, path = unused_file(folder, catalog.settings().next_segment, "seg")
    writer = segment_writer(path, dim, codec_record if coded else None, found.codec if coded else None)
    doclens = np.diff(found.offsets)
    try:
        for start in range(0, len(positions), _BATCH):
            batch = positions[start : start + _BATCH]
            writer.copy(found, batch, doclens[batch])
        info = writer.finish()
    except BaseException:
        writer.abort()
        raise
    return segment_record(number, path.name, info, found.record.row_numbers()[positions], CODES if coded else VECTORS)
