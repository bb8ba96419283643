"""Whether an index is what it says it is: its catalog against its segments, every checksum, and the facts about it.

Changes nothing; polyvec.index.recovery.mending does.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.index.catalog.catalog import CATALOG_FILE, Catalog
from polyvec.index.lock import LOCK_FILE
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.index.upkeep.drift import codec_summary
from polyvec.index.upkeep.leftovers import DAMAGED_FOLDER, leftovers_of
from polyvec.index.views import View

Int64 = npt.NDArray[np.int64]


def problems_of(catalog: Catalog, snapshot: Snapshot) -> list[str]:
    """Returns the problems found, one sentence each; empty if there are none. Reads everything."""
    problems = catalog.integrity() + keyword_problems(catalog)
    if catalog.path.is_file() and not (catalog.path.parent / SEGMENT_FOLDER).is_dir():
        problems.append(f"{catalog.path.parent / SEGMENT_FOLDER} is missing: every index has this folder")
    records = catalog.segments()
    for before, after in pairwise(records):
        if after.first_row <= before.last_row:
            problems.append(f"{catalog.path}: segments {before.file} and {after.file} cover the same rows")
    for name, rows in row_problems(catalog).items():
        if len(rows):
            problems.append(f"{catalog.path}: {len(rows)} {name}, first row {rows[0]}")
    problems += count_problems(catalog, snapshot)
    return problems + snapshot.verify()


def keyword_problems(catalog: Catalog) -> list[str]:
    """Whether keyword search knows the live texts and nothing else. Returns the problems found; empty if there are none."""
    texts, found = catalog.text_rows(), catalog.keyword_rows()
    missing, dead = len(np.setdiff1d(texts, found)), len(np.setdiff1d(found, texts))
    if not missing and not dead:
        return []
    return [f"{catalog.path}: keyword search misses {missing} documents and keeps {dead} that are gone"]


def row_problems(catalog: Catalog) -> dict[str, Int64]:
    """Rows that break a rule between documents, deletes and segments, by what is wrong with them."""
    held = [record.row_numbers() for record in catalog.segments()]
    stored: Int64 = np.concatenate(held) if held else np.empty(0, np.int64)
    dead, live = catalog.deleted_rows(), catalog.row_numbers()
    return {
        "documents without token vectors": np.setdiff1d(live, stored),
        "token vectors without a document": np.setdiff1d(np.setdiff1d(stored, live), dead),
        "rows both live and deleted": np.intersect1d(live, dead),
        "deleted rows that no segment holds": np.setdiff1d(dead, stored),
    }


def count_problems(catalog: Catalog, snapshot: Snapshot) -> list[str]:
    """Whether documents have as many token vectors as the catalog says. Returns the problems found; empty if there are none."""
    problems = []
    for part in snapshot.segments:
        lengths = part.segment.doclens if part.alive is None else part.segment.doclens[part.alive]
        rows = part.rows if part.alive is None else part.rows[part.alive]
        expected = catalog.token_counts(part.record.first_row, part.record.last_row)
        if len(expected) == len(rows) and not np.array_equal(expected, lengths):
            row = rows[int(np.flatnonzero(expected != lengths)[0])]
            problems.append(
                f"{part.segment.path}: other numbers of token vectors than the catalog has, first row {row}"
            )
    return problems


def index_facts(path: Path, view: View) -> dict[str, Any]:
    """Counts, sizes in bytes, languages, model and codec, as plain JSON values."""
    catalog, settings = view.catalog, view.settings
    records, counts = catalog.segments(), catalog.counts()
    vector_bytes = sum(record.size_bytes for record in records)
    found = leftovers_of(path, catalog)
    damaged = _files(path / DAMAGED_FOLDER)
    return {
        "path": str(path),
        "version": settings.version,
        "state": settings.state,
        "model": None if settings.model is None else settings.model.name,
        "dim": settings.dim,
        "nbits": settings.nbits,
        "documents": counts["documents"],
        "tokens": counts["tokens"],
        "truncated_documents": counts["truncated"],
        "deleted_rows": counts["deleted_rows"],
        "languages": catalog.languages(),
        "segments": len(records),
        "coded_segments": sum(record.coded for record in records),
        "text_bytes": counts["text_bytes"],
        "vector_bytes": vector_bytes,
        "catalog_bytes": sum(map(_size, path.glob(f"{CATALOG_FILE}*"))),
        "unlisted_files": len(found.removable) + len(found.strays),  # of a writer at work, or of one that was killed
        "damaged_files": len(damaged),  # put aside by a repair, or listed by no catalog: yours to delete
        "size_bytes": sum(
            map(_size, [*path.glob(f"{CATALOG_FILE}*"), path / LOCK_FILE, *_files(path / SEGMENT_FOLDER), *damaged])
        ),
        "bytes_per_token": round(vector_bytes / counts["tokens"], 2) if counts["tokens"] else None,
        "codec": codec_summary(view.snapshot.codec, settings.codec),
    }


def _files(folder: Path) -> list[Path]:
    """The files in a folder of the index, none where it is missing."""
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _size(path: Path) -> int:
    """Bytes of a file; 0 of a folder, or of a file that a writer has just removed."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0
