"""A damaged index -> one that opens: what cannot be read is let go of, and every rule between its tables holds again.

Token vectors are not made anew here: documents that lost theirs stay, and polyvec.repairing encodes their texts. Every step
is one transaction, so that an interrupted repair goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.errors import IndexCorruptError
from polyvec.index.catalog import Catalog, SegmentRecord
from polyvec.index.checking import count_problems, keyword_problems, row_problems
from polyvec.index.codec import Codec
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot


def mend(folder: Path, catalog: Catalog) -> list[str]:
    """What was done, one sentence each. catalog: open for writing.

    Raises IndexCorruptError where the catalog itself is damaged: nothing else holds what it holds.
    """
    if problems := catalog.integrity():
        raise IndexCorruptError(
            f"{problems[0]}. The catalog holds the ids and texts, and cannot be repaired: restore {folder} from a copy, or "
            "build it again."
        )
    done = _mend_segments(folder, catalog)
    done += mend_rows(catalog)
    if problems := keyword_problems(catalog):
        with catalog.transaction():
            catalog.rebuild_keywords()
        done.append(f"{problems[0]}: made anew from the texts")
    return done


def homeless_rows(catalog: Catalog) -> npt.NDArray[np.int64]:
    """(n,) int64, ascending: live documents without token vectors."""
    return row_problems(catalog)["documents without token vectors"]


def _mend_segments(folder: Path, catalog: Catalog) -> list[str]:
    """Take unreadable segments off the list, and with a codec that cannot be read all that are in its codes."""
    meta = catalog.meta()
    listed = meta.get("codec")
    problems: list[str] = []
    changes: dict[str, Any] = {}
    if listed is not None and (problem := _codec_problem(folder / SEGMENT_FOLDER / listed["file"])):
        problems.append(problem)
        changes["codec"] = None
    bad = []
    last = -1
    for record in catalog.segments():
        problem = ""
        if "codec" in changes and record.coded:
            problem = f"{record.file}: its codec cannot be read"
        elif record.first_row <= last:
            problem = f"{record.file}: it covers rows of another segment"
        else:
            problem = _segment_problem(folder, catalog, record, int(meta["dim"]))
        if problem:
            problems.append(problem)
            bad.append(record)
        else:
            last = record.last_row
    if bad or changes:
        with catalog.transaction():
            catalog.remove_segments(bad)
            catalog.set_meta(changes)
    return [f"{problem}: taken off the list" for problem in problems]


def _codec_problem(path: Path) -> str:
    try:
        Codec.load(path)
    except (IndexCorruptError, OSError) as error:
        return str(error)
    return ""


def _segment_problem(folder: Path, catalog: Catalog, record: SegmentRecord, dim: int) -> str:
    try:
        snapshot = Snapshot.open(folder, catalog, dim, records=[record])
        problems = snapshot.verify() or count_problems(catalog, snapshot)
    except (IndexCorruptError, OSError) as error:
        return str(error)
    return problems[0] if problems else ""


def mend_rows(catalog: Catalog) -> list[str]:
    """Put right which rows are marked as deleted; what was done, as `mend` says it."""
    wrong = row_problems(catalog)
    unowned = wrong["token vectors without a document"]
    both = wrong["rows both live and deleted"]
    nowhere = wrong["deleted rows that no segment holds"]
    if not len(unowned) + len(both) + len(nowhere):
        return []
    with catalog.transaction():
        catalog.set_deleted(unowned)
        catalog.unset_deleted([*both, *nowhere])
    return [f"{len(unowned) + len(both) + len(nowhere)} marks of deleted rows: put right"]
