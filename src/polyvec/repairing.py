"""A damaged index -> a sound one, as far as what is left of it allows.

Documents whose token vectors cannot be read are encoded again from their stored texts; those of vectors only are lost
and reported. The catalog itself cannot be repaired.
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

from polyvec.arguments import function, local_path, token_encoder
from polyvec.collection import Index
from polyvec.data import Document
from polyvec.index.catalog import Catalog, StoredDocument
from polyvec.index.mending import homeless_rows, mend, mend_rows
from polyvec.index.writer import Writer

if TYPE_CHECKING:
    from polyvec.encoder import Encoder

_CHUNK = 256  # documents read at once


@dataclass
class RepairReport:
    """actions: what was wrong and what was done, a sentence each · encoded: documents encoded again · lost: ids of documents
    that had token vectors only, which are gone.
    """

    actions: list[str] = field(default_factory=list)
    encoded: int = 0
    lost: list[str] = field(default_factory=list)


def repair_index(
    path: str | os.PathLike[str], *, encoder: Encoder | None = None, progress: Callable[[int], None] | None = None
) -> RepairReport:
    """Make an index sound again; one that is sound stays as it is. Can be interrupted and run again.

    encoder: the index's model, where it is loaded already · progress: called with the number of documents just encoded.
    Raises IndexMissingError, IndexLockedError where another process writes, IndexCorruptError where the catalog is damaged.
    """
    path = local_path("path", path)
    if encoder is not None:
        token_encoder("encoder", encoder)
    function("progress", progress)
    report = RepairReport()
    Catalog.open(path).close()  # is it an index at all?
    with _writer(path) as writer:
        if writer.swept:
            report.actions.append(f"{writer.swept} files that nothing lists: removed")
        report.actions += mend(path, writer.catalog)
        homeless = homeless_rows(writer.catalog)
        report.lost = [d.id for d in _stored(writer.catalog, homeless) if d.text is None]
        if report.lost:
            writer.delete(report.lost)
    if len(homeless) > len(report.lost):
        catalog = Catalog.open(path)  # the state before, while the update goes on
        try:
            with Index(path, encoder=encoder, resume=True) as index:
                texts = (d for d in _stored(catalog, homeless) if d.text is not None)
                documents = (Document(d.id, d.text or "", d.metadata) for d in texts)
                done = index.update(documents, progress=progress)
                report.encoded = done.added + done.replaced
        finally:
            catalog.close()
    if len(homeless):
        with _writer(path) as writer:
            mend_rows(writer.catalog)
    return report


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
