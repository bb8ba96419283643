"""A damaged index -> a sound one, as far as what is left of it allows.

What can be derived is derived. Documents whose token vectors cannot be read are encoded again from their stored texts; those of
vectors only are kept where their values are possible, and lost where not. The catalog itself cannot be repaired.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from polyvec.arguments import flag, function, local_path, token_encoder
from polyvec.collection.index import Index
from polyvec.collection.settings import load_model
from polyvec.data import Document
from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import Catalog, StoredDocument
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.recovery.mending import Plan, apply, check_catalog, mend_rows, plan_repair
from polyvec.index.upkeep.leftovers import leftovers_of
from polyvec.index.writing.writer import Writer

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

_CHUNK = 256  # documents read at once


@dataclass
class RepairReport:
    """What a repair did, or with dry_run would do.

    Attributes:
        actions: What is wrong and what is done about it, one sentence each.
        encoded: How many documents are encoded again from their texts.
        lost: Ids of documents that had token vectors only, which are gone.
        altered: Ids of documents that are kept though some of their values may have changed: they are in a damaged block
            of which nothing says where in it the damage is.
        moved: Where the damaged files are now; with dry_run, which files will be moved.
    """

    actions: list[str] = field(default_factory=list)
    encoded: int = 0
    lost: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


def repair_index(
    path: str | os.PathLike[str],
    *,
    encoder: TokenEncoder | None = None,
    progress: Callable[[int], None] | None = None,
    dry_run: bool = False,
    before: Callable[[RepairReport], None] | None = None,
) -> RepairReport:
    """Make an index sound again; one that is sound stays as it is. Can be interrupted and run again.

    Args:
        path: Folder of the index.
        encoder: The index's model, where it is loaded already.
        progress: Called with the number of documents just encoded.
        dry_run: Whether to change nothing and say what would be done and lost.
        before: Called with what will be done and lost, before anything is changed.

    Returns:
        What was done.

    Raises:
        IndexMissingError: Where there is no index.
        IndexLockedError: Where another process writes.
        IndexCorruptError: Where the catalog is damaged. Nothing was changed then.
    """
    path = local_path("path", path)
    if encoder is not None:
        token_encoder("encoder", encoder)
    function("progress", progress)
    function("before", before)
    dry_run = flag("dry_run", dry_run)
    catalog = Catalog.open(path)
    try:
        check_catalog(path, catalog)
        if dry_run:
            report = _report(path, catalog, plan_repair(path, catalog))
            found = leftovers_of(path, catalog)
            return _with_leftovers(report, len(found.removable) + len(found.strays))
    finally:
        catalog.close()
    try:
        (path / SEGMENT_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path / SEGMENT_FOLDER} cannot be made: {error.strerror}. Move away what is there, and repair again."
        ) from error
    with _writer(path) as writer:
        plan = plan_repair(path, writer.catalog)
        report = _with_leftovers(_report(path, writer.catalog, plan), writer.swept)
        if before is not None:
            before(report)
        if len(plan.encode) and encoder is None:
            encoder = load_model(path, writer.catalog.settings())
        report.moved = [str(moved) for moved in apply(path, writer.catalog, plan)]
    if len(plan.encode):
        report.encoded = _encode(path, plan.encode, encoder, progress)
        with _writer(path) as writer:
            mend_rows(writer.catalog)
    return report


def _report(path: Path, catalog: Catalog, plan: Plan) -> RepairReport:
    return RepairReport(
        actions=plan.actions,
        encoded=len(plan.encode),
        lost=[document.id for document in _stored(catalog, plan.lost)],
        altered=[document.id for document in _stored(catalog, plan.altered)],
        moved=[str(file) for file in plan.aside],
    )


def _with_leftovers(report: RepairReport, count: int) -> RepairReport:
    if count:
        report.actions.insert(0, f"{count} files that nothing lists: removed or moved")
    return report


def _encode(
    path: Path, rows: npt.NDArray[np.int64], encoder: TokenEncoder | None, progress: Callable[[int], None] | None
) -> int:
    """Encode the texts of these rows again. Returns how many there were."""
    catalog = Catalog.open(path)  # the state before, while the update goes on
    try:
        with Index(path, encoder=encoder, resume=True) as index:
            documents = (Document(d.id, d.text or "", d.metadata) for d in _stored(catalog, rows))
            done = index.update(documents, progress=progress)
            return done.added + done.replaced
    finally:
        catalog.close()


@contextmanager
def _writer(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    try:
        yield writer
    finally:
        writer.close()


def _stored(catalog: Catalog, rows: npt.NDArray[np.int64]) -> Iterator[StoredDocument]:
    """The documents of these rows that are stored, in their order, streamed."""
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK].tolist()
        found = catalog.documents(chunk)
        yield from (found[row] for row in chunk if row in found)
