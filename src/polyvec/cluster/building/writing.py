"""Encoded blocks of one shard -> an ordinary index, in a folder or published. One writer a shard.

The writer encodes nothing: it copies codes and texts. One that is cut off leaves nothing that counts, and the next one begins
again; what it reads is there still. Knows nothing about Ray.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyvec.cluster.building.codec import CODEC_FILE, load_codec
from polyvec.cluster.building.documents import Staged
from polyvec.cluster.building.plan import Plan
from polyvec.cluster.building.work import Piece, Work
from polyvec.data import Document
from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import Catalog, StoredDocument
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.codec import Codec
from polyvec.index.folder import make_folder
from polyvec.index.format import sync_folder
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.upkeep.tuning import measured_curve
from polyvec.index.writing.new_segment import NewSegment
from polyvec.index.writing.writer import Writer
from polyvec.publish.manifest import read_manifest
from polyvec.publish.publishing import publish
from polyvec.publish.store import Store
from polyvec.shards.shards import new_manifest

RESULT = "result"  # the folder in which a build on this disk puts its shards


def write_shard(work: Work, plan: Plan, staged: Staged, shard: int, tokens: int) -> dict[str, Any]:
    """Write a shard where it belongs; what an earlier run has put there is taken as it is.

    Args:
        work: What the build keeps.
        plan: Of the build.
        staged: Its documents.
        shard: Number of the shard.
        tokens: Token vectors of all shards.

    Returns:
        What became of it: name, documents, tokens, size_bytes, and where it is published, version and publication.

    Raises:
        StorageError: It cannot be written.
    """
    marker = f"shards/{shard:03d}.json"
    if (known := work.find_json(marker)) is not None:
        return dict(known)
    name = new_manifest(plan.settings(), plan.shards).shards[shard]
    with _scratch(work, plan, name) as folder:
        facts = _write(work, plan, staged, shard, tokens, folder)
        facts.update(name=name, size_bytes=_size_of(folder))
        if plan.published:
            url = f"{plan.target}/{name}"
            done = publish(folder, url)
            facts.update(version=done.version, publication=read_manifest(Store(url), done.version).publication)
        else:
            _place(folder, Path(work.url) / RESULT / name)
    work.put_json(marker, facts)
    return facts


def _write(work: Work, plan: Plan, staged: Staged, shard: int, tokens: int, folder: Path) -> dict[str, Any]:
    """Make the index, whole."""
    make_folder(folder, plan.settings())
    codec, record = _codec(work, plan, tokens)
    numbers = staged.numbers(work, shard)
    count = own_tokens = 0
    with contextlib.closing(Catalog.open(folder, write=True)) as catalog, catalog.transaction():
        if codec is not None and record is not None:
            size, checksum = codec.save(folder / SEGMENT_FOLDER / CODEC_FILE)
            assert (size, checksum) == (record.size_bytes, record.checksum)
            catalog.set_settings(codec=record, next_segment=2)
        new = NewSegment(folder, catalog, plan.dim, record, codec)
        try:
            for block in staged.blocks(shard):
                piece = work.piece(block)
                rows = numbers[count : count + block.documents] * plan.shards + shard
                new.copy(piece, piece.doclens, rows)
                catalog.insert_documents(_stored(work.documents(block), rows.tolist(), piece))
                count += block.documents
                own_tokens += int(piece.doclens.sum())
            new.list()
        except BaseException:
            new.abort()
            raise
        catalog.set_settings(next_row=(staged.documents - 1) * plan.shards + shard + 1)
    if count != len(numbers):
        raise StorageError(
            f"{work.url}: shard {shard} has {count} documents in blocks, and {len(numbers)} were read. Build anew."
        )
    if plan.published:
        _measure(folder, plan.dim)
    return {"documents": count, "tokens": own_tokens}


def _codec(work: Work, plan: Plan, tokens: int) -> tuple[Codec | None, CodecRecord | None]:
    if plan.nbits == 16:
        return None, None
    codec, record = load_codec(work)
    return codec, replace(record, tokens=tokens)


def _stored(documents: list[Document], rows: list[int], piece: Piece) -> Iterator[StoredDocument]:
    for document, row, length, cut in zip(
        documents, rows, piece.doclens.tolist(), piece.truncated.tolist(), strict=True
    ):
        yield StoredDocument(row, document.id, document.text, document.metadata, length, cut)


def _measure(folder: Path, dim: int) -> None:
    """What search settings find in this shard, which is searched alone where it is served."""
    with contextlib.closing(Writer(folder)) as writer:
        writer.set_curve(measured_curve(writer.opened(dim=dim)))


@contextlib.contextmanager
def _scratch(work: Work, plan: Plan, name: str) -> Iterator[Path]:
    """A folder of this machine to write in: beside its place where it is to stay on this disk."""
    try:
        if plan.published:
            with tempfile.TemporaryDirectory(prefix="polyvec-shard-") as folder:
                yield Path(folder) / name
            return
        place = Path(work.url) / RESULT / f".{name}-{uuid.uuid4().hex[:12]}"
        place.parent.mkdir(exist_ok=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"Cannot write {error.filename or name}: {error.strerror or error}. Check the space and the permissions there; the "
            "same command goes on."
        ) from error


def _place(folder: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)  # of a writer that was cut off before it said so
    os.rename(folder, place)
    sync_folder(place.parent)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
