"""One index -> shards with the same documents, without encoding: codes are copied as they are, under the same codec."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polyvec.arguments import function, local_path, whole_number
from polyvec.atomic import staged
from polyvec.errors import StorageError
from polyvec.index.catalog.catalog import Catalog, StoredDocument
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.folder import make_folder
from polyvec.index.place import absolute
from polyvec.index.reader import SEGMENT_FOLDER, LiveSegment, Snapshot
from polyvec.index.upkeep.merging import Source
from polyvec.index.views import View, open_view
from polyvec.index.writing.new_segment import NewSegment
from polyvec.shards.routing import MOST_ROWS, MOST_SHARDS, shard_of
from polyvec.shards.shards import finish_folder, new_manifest

_BATCH = 500  # documents whose texts are in memory at once
_CODEC_FILE = "00000001.codec"

Int64 = npt.NDArray[np.int64]


def split_index(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shards: int = 4,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Copy the documents of an index into new shards, whole or not at all. The index stays as it is.

    Args:
        path: Folder of the index.
        out: Folder of the shards: a path that is free, or an empty folder.
        shards: How many, from 1 to 64.
        progress: Called with the number of documents whose texts were just copied.

    Returns:
        How many documents were copied.

    Raises:
        IndexMissingError: There is no index.
        IndexCorruptError: A file of it is damaged.
        StorageError: The index is not complete, or the shards cannot be written.
    """
    source, target = absolute(local_path("path", path)), absolute(local_path("out", out))
    count = whole_number("shards", shards, most=MOST_SHARDS, of="shards")
    function("progress", progress)
    view = open_view(source)
    with view:
        view.retire()
        if view.settings.state != "ready":
            raise StorageError(f"{source} is not complete: building it was interrupted. Complete it first.")
        inside, outside = Path(os.path.realpath(target)), Path(os.path.realpath(source))
        if inside == outside or outside in inside.parents:
            raise StorageError(f"Cannot write shards into the index {source}. Choose a path outside of it.")
        if view.settings.next_row * count > MOST_ROWS:
            raise StorageError(f"{source} has had too many documents for {count} shards. Make fewer shards of it.")
        with staged(target) as staging:
            _split(view, source, staging, count, progress or _unseen)
        return len(view.catalog)


def _split(view: View, source: Path, staging: Path, count: int, progress: Callable[[int], None]) -> None:
    settings, codec_record = view.settings, view.settings.codec
    manifest = new_manifest(settings, count)
    if codec_record is not None:
        manifest = replace(manifest, codecs=(codec_record.checksum,))
        codec_record = replace(codec_record, file=_CODEC_FILE)
    with ExitStack() as held:
        catalogs: list[Catalog] = []
        for name in manifest.shards:
            make_folder(staging / name, replace(settings, next_row=0, next_segment=1, codec=None))
            catalogs.append(Catalog.open(staging / name, write=True))
            held.callback(catalogs[-1].close)
        with ExitStack() as transactions:
            for catalog in catalogs:
                transactions.enter_context(catalog.transaction())
            rows = _copy_documents(view, catalogs, progress)
            for number, catalog in enumerate(catalogs):
                folder = staging / manifest.shards[number]
                if settings.codec is not None and codec_record is not None:
                    shutil.copyfile(
                        source / SEGMENT_FOLDER / settings.codec.file, folder / SEGMENT_FOLDER / codec_record.file
                    )
                    catalog.set_settings(codec=_share(codec_record, number), next_segment=2)
                new = NewSegment(folder, catalog, settings.dim, codec_record, view.snapshot.codec)
                new.take([], Source(_part(view.snapshot, rows[number], number, count)))
                new.list()
                catalog.set_settings(next_row=max(0, (settings.next_row - 1) * count + number + 1))
    finish_folder(staging, manifest)


def _copy_documents(view: View, catalogs: Sequence[Catalog], progress: Callable[[int], None]) -> list[Int64]:
    """Copy ids, texts and metadata. Returns the rows that go to each shard, ascending."""
    count = len(catalogs)
    rows: list[list[Int64]] = [[np.empty(0, np.int64)] for _ in catalogs]
    documents = view.catalog.all_documents()
    while batch := list(islice(documents, _BATCH)):
        parts: list[list[StoredDocument]] = [[] for _ in catalogs]
        for document in batch:
            parts[shard_of(document.id, count)].append(document)
        for shard, (catalog, part) in enumerate(zip(catalogs, parts, strict=True)):
            catalog.insert_documents(replace(document, row=document.row * count + shard) for document in part)
            rows[shard].append(np.array([document.row for document in part], np.int64))
        progress(len(batch))
    return [np.concatenate(some) for some in rows]


def _part(snapshot: Snapshot, rows: Int64, number: int, count: int) -> Snapshot:
    """The documents with these rows, under the rows that they have in shard `number` of so many."""

    def part(live: LiveSegment) -> LiveSegment:
        alive: Int64 = np.flatnonzero(np.isin(live.rows, rows)).astype(np.int64)
        return replace(live, rows=live.rows * count + number, alive=alive)

    return replace(snapshot, segments=[part(live) for live in snapshot.segments])


def _share(record: CodecRecord, number: int) -> CodecRecord:
    """What was added since training is counted in the first shard alone, so that it counts once."""
    return record if number == 0 else replace(record, added_tokens=0, added_error=0.0)


def _unseen(count: int) -> None:
    pass
