"""An index -> a new version of it in an object store: only what is new travels, and the manifest comes last.

The index may be written and searched meanwhile. Until its manifest is there, a version does not exist; of two publishers who
create the same one, the store lets one through.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

from polyvec.arguments import function, local_path
from polyvec.errors import IndexCorruptError, IndexIncompleteError, PublishConflictError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.place import absolute
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.views import View, open_view
from polyvec.publish.blocks import BlockMap, digests_of, planned, write_pack
from polyvec.publish.manifest import FILES, Manifest, Part, name_of, newest_at, read_manifest
from polyvec.publish.store import ObjectExistsError, Store
from polyvec.version import __version__

_MOST_ATTEMPTS = 50
_RESUMED = timedelta(hours=6)  # how old an object may be that no version lists and that is not sent again
_CHUNK = 1 << 22  # bytes read at once
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        url: Where, in one spelling.
        version: Number of the version that holds this state.
        new: Whether this call made it; False where the newest version held the same already.
        documents: In the index.
        size_bytes: Of the index.
        sent_bytes: That traveled, the manifest included.
        sent_objects: How many objects those were.
    """

    url: str
    version: int
    new: bool
    documents: int
    size_bytes: int
    sent_bytes: int
    sent_objects: int


def publish(index_path: str | os.PathLike[str], url: str, *, progress: Progress | None = None) -> Published:
    """Publish the newest committed state of an index as a new version; it may be searched and written meanwhile.

    What an interrupted call has sent already is not sent again.

    Args:
        index_path: Folder of the index.
        url: s3://bucket/name, gs://bucket/name, az://container/name, file:///folder, or a folder. Credentials come from
            the environment, as obstore reads them.
        progress: Called with the bytes sent and the bytes to send.

    Returns:
        The version, and what traveled.

    Raises:
        InputError: The URL is none of these.
        IndexMissingError: There is no such index.
        IndexCorruptError: A file of it is damaged; nothing is published then.
        IndexIncompleteError: Its building was interrupted.
        PublishConflictError: Somebody else published there meanwhile.
        StorageError: The store cannot be reached or written, or holds other things.
        MissingExtraError: obstore is not installed.
    """
    path = absolute(local_path("index_path", index_path))
    function("progress", progress)
    with contextlib.ExitStack() as held:
        view, files = _opened(path, held)
        store = Store(url, make=True)
        before = newest_at(store)
        moment = store.now()  # also shows early whether the place can be written
        there = {one.name: one for one in store.listed(FILES)}
        work = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="polyvec-publish-")))
        with _local_errors(work):
            made, sources = _made(
                view, files, work, before, store, {name: one.size_bytes for name, one in there.items()}
            )
            listed = {part.object for part in before.parts} if before is not None else set()
            for name, one in there.items():
                # what no version lists may be about to be pruned, unless it is new
                lasting = name in listed or moment - one.modified < _RESUMED
                if lasting and name in sources and sources[name].size_bytes == one.size_bytes:
                    del sources[name]
            _verify(view, made, sources, path)
            sent = _send(store, sources, progress)
        if before is not None and made.same_content(before):
            return Published(
                store.url, before.version, False, made.documents, made.size_bytes, sent, len(sources)
            )  # fmt: skip
        content = made.to_bytes()
        _create(store, made, content)
        return Published(
            store.url, made.version, True, made.documents, made.size_bytes, sent + len(content), len(sources) + 1
        )


@dataclass(frozen=True)
class Source:
    """What an object is made of: an open file, the path of one, or bytes; and its size in bytes."""

    content: IO[bytes] | Path | bytes
    size_bytes: int


def _opened(path: Path, held: contextlib.ExitStack) -> tuple[View, dict[str, IO[bytes]]]:
    """The newest state, and its files, open so that they stay readable when a writer replaces them."""
    for _ in range(_MOST_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            view = open_view(path)
            opened.callback(view.retire)
            if view.settings.state != "ready":
                raise IndexIncompleteError(
                    f"{path} is not complete: building it was interrupted. Run the same `polyvec index` command again."
                )
            names = [record.file for record in view.catalog.segments()]
            if view.settings.codec is not None:
                names.append(view.settings.codec.file)
            files: dict[str, IO[bytes]] = {}
            with contextlib.suppress(FileNotFoundError):  # a writer has gone on: the newer state is opened
                for name in names:
                    files[name] = opened.enter_context((path / SEGMENT_FOLDER / name).open("rb"))
                held.push(opened.pop_all())
                return view, files
    raise StorageError(f"{path}: a writer changes it faster than it can be published. Try again.")


def _made(
    view: View, files: dict[str, IO[bytes]], work: Path, before: Manifest | None, store: Store, there: dict[str, int]
) -> tuple[Manifest, dict[str, Source]]:
    """The manifest of the next version, and what its objects are made of; packs of the version before are left out."""
    sources: dict[str, Source] = {}
    parts = []
    for name, file in sorted(files.items()):
        part = _part(name, file)
        parts.append(part)
        sources[part.object] = Source(file, part.size_bytes)
    copy = work / CATALOG_FILE
    view.catalog.copy_to(copy)
    digests = digests_of(copy)
    with copy.open("rb") as file:
        catalog = _part("catalog", file)
    old_map, old_packs = _old_blocks(store, before, there)
    plan = planned(digests, old_map, [pack.size_bytes for pack in old_packs])
    packs = [old_packs[number] for number in plan.kept]
    for blocks in plan.new:
        pack_path = work / f"{len(packs)}.pack"
        write_pack(copy, blocks, pack_path)
        with pack_path.open("rb") as file:
            packs.append(_part("pack", file))
        sources[packs[-1].object] = Source(pack_path, packs[-1].size_bytes)
    content = plan.map.to_bytes()
    block_map = Part("map", len(content), hashlib.sha256(content).hexdigest())
    sources[block_map.object] = Source(content, len(content))
    model, counts = view.settings.model, view.catalog.document_counts()
    manifest = Manifest(
        version=1 if before is None else before.version + 1,
        publication=uuid.uuid4().hex,
        published=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        polyvec=__version__,
        model=None if model is None else model.name,
        fingerprint=None if model is None else model.fingerprint,
        dim=view.settings.dim,
        documents=len(view.catalog),
        tokens=counts["tokens"],
        files=tuple(parts),
        catalog=catalog,
        packs=tuple(packs),
        map=block_map,
    )
    return manifest, sources


def _old_blocks(
    store: Store, before: Manifest | None, there: dict[str, int]
) -> tuple[BlockMap | None, tuple[Part, ...]]:
    """The catalog's blocks in the version before; none where that is not whole."""
    if before is None or any(there.get(part.object) != part.size_bytes for part in (*before.packs, before.map)):
        return None, ()
    content = store.read(before.map.object)
    if hashlib.sha256(content).hexdigest() != before.map.sha256:
        return None, ()
    sizes = [pack.size_bytes for pack in before.packs]
    return BlockMap.from_bytes(content, packs=sizes, size_bytes=before.catalog.size_bytes), before.packs


def _part(name: str, file: IO[bytes]) -> Part:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return Part(name, size, digest.hexdigest())


def _verify(view: View, made: Manifest, sources: dict[str, Source], path: Path) -> None:
    """Raise IndexCorruptError where a file that is to travel is damaged."""
    traveling = {part.file for part in made.files if part.object in sources}
    problems = [
        problem for live in view.snapshot.segments if live.record.file in traveling for problem in live.segment.verify()
    ]
    if any(part.object in sources for part in made.packs):
        problems += view.catalog.integrity()
    if problems:
        raise IndexCorruptError(
            f"{problems[0].rstrip('.')}. Nothing was published: run `polyvec repair {path}` first."
        )  # fmt: skip


def _send(store: Store, sources: dict[str, Source], progress: Progress | None) -> int:
    """Write objects, the small ones last, and return their bytes."""
    total = sum(source.size_bytes for source in sources.values())
    done = 0
    for name, source in sorted(sources.items(), key=lambda one: (-one[1].size_bytes, one[0])):
        with contextlib.ExitStack() as opened:
            content = source.content
            if isinstance(content, Path):
                content = opened.enter_context(content.open("rb"))
            elif isinstance(content, bytes):
                content = io.BytesIO(content)
            content.seek(0)
            store.write(name, content, source.size_bytes)
        done += source.size_bytes
        if progress is not None:
            progress(done, total)
    return done


def _create(store: Store, made: Manifest, content: bytes) -> None:
    try:
        store.create(name_of(made.version), content)
    except ObjectExistsError as error:
        # an answer that was lost on its way lets the same request be sent twice: then the first one made it
        if read_manifest(store, made.version).publication != made.publication:
            raise PublishConflictError(
                f"Somebody else published version {made.version} at {store.url} meanwhile. It stays as it is; publish again to "
                "put yours on top, which sends little."
            ) from error


@contextlib.contextmanager
def _local_errors(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot copy the catalog to {work}: {error.strerror}. Free some space there, or set TMPDIR to another folder."
        ) from error
