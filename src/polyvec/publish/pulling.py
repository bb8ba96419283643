"""A published version -> an index in a folder. A new folder appears whole or not at all; one that is there moves on at once.

Files come first, each checked by its SHA-256. Then one SQLite transaction replaces the catalog's content within its own file, so
that whoever has the index open keeps the old state until refresh(), and sees the new one after.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from polyvec.arguments import function, local_path, whole_number
from polyvec.atomic import check_new_folder
from polyvec.errors import IndexCorruptError, ModelMismatchError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE, Catalog
from polyvec.index.catalog.sqlite_file import LOG
from polyvec.index.folder import own_files
from polyvec.index.format import sync_folder
from polyvec.index.lock import LOCK_FILE, WriterLock
from polyvec.index.place import absolute
from polyvec.index.reader import SEGMENT_FOLDER, Snapshot
from polyvec.publish.blocks import BLOCK, BlockMap, digests_of, reads
from polyvec.publish.manifest import Manifest, Part, version_at
from polyvec.publish.pulled_folder import Origin, origin_of
from polyvec.publish.store import ObjectMissingError, Store

_WORK = ".pulling"  # a folder in an index, of a pull that is under way or was cut
_CHUNK = 8 << 20  # bytes that one request reads
Progress = Callable[[int, int], None]
Known = dict[tuple[int, int, int, int], str]  # device, inode, size and time of change of a file -> its SHA-256


@dataclass(frozen=True)
class Pulled:
    """What pulling did.

    Attributes:
        folder: Where the index is.
        version: That it holds now.
        new: Whether this call brought it; False where the folder held it already.
        documents: In the index.
        size_bytes: Of the index.
        received_bytes: That traveled, without the manifest.
    """

    folder: Path
    version: int
    new: bool
    documents: int
    size_bytes: int
    received_bytes: int


def pull(
    url: str,
    folder: str | os.PathLike[str],
    *,
    version: int | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Bring a published version into a folder, where it can be searched; only what is not there yet travels.

    The folder is a copy that the next pull replaces, so calls that would change it are refused. What an interrupted call has
    brought already does not travel again.

    Args:
        url: Where it is published, as `publish` takes it.
        folder: A path that is free, or a folder that was pulled from the same place. Others may have it open.
        version: Number of the version; None for the newest one.
        progress: Called with the bytes that are there and the bytes in all.

    Returns:
        The version, and what traveled.

    Raises:
        InputError: The URL or the version is none.
        ModelMismatchError: The folder holds an index of another model, which open readers would not notice.
        IndexLockedError: Another process is pulling into the folder.
        StorageError: There is no such version, it is not whole, or something else is in the folder.
        MissingExtraError: obstore is not installed.
    """
    target = absolute(local_path("folder", folder))
    function("progress", progress)
    number = None if version is None else whole_number("version", version)
    store = Store(url)
    return pull_manifest(store, version_at(store, number), target, progress=progress)


def pull_manifest(
    store: Store, manifest: Manifest, target: Path, *, progress: Progress | None = None, known: Known | None = None
) -> Pulled:
    """Bring one version into a folder.

    Args:
        store: That it is in.
        manifest: Of the version.
        target: The folder.
        progress: As `pull` has it.
        known: Checksums of files that were read before; more are added.
    """
    job = _Pull(store, manifest, progress, {} if known is None else known)
    with _local_errors(target):
        if os.path.lexists(target / CATALOG_FILE):
            return _renewed(job, target)
        return _made(job, target)


def _made(job: _Pull, target: Path) -> Pulled:
    """A new folder: built beside its place, where what came stays for another try, and renamed when it is whole."""
    check_new_folder(target)
    staging = target.with_name(f".{target.name}.pulling")
    (staging / SEGMENT_FOLDER).mkdir(parents=True, exist_ok=True)
    with WriterLock(staging):
        check_new_folder(target)  # another process may have pulled meanwhile
        work = _emptied(staging)
        catalog, _ = job.bring(staging, work, None)
        os.replace(catalog, staging / CATALOG_FILE)
        _remove_others(staging)
        shutil.rmtree(work)
        sync_folder(staging)
        (staging / LOCK_FILE).unlink()
        if target.is_dir():
            target.rmdir()
        os.rename(staging, target)
        sync_folder(target.parent)
    return job.report(target, new=True)


def _renewed(job: _Pull, target: Path) -> Pulled:
    """A folder that is there: its catalog's content is replaced in one transaction."""
    with WriterLock(target), contextlib.closing(Catalog.open(target)) as local:
        origin, settings, manifest = origin_of(local), local.settings(), job.manifest
        if origin is None:
            raise StorageError(
                f"{target} is an index that was not pulled, and pulling would replace it. Pull into another folder."
            )
        if origin.url != job.store.url:
            raise StorageError(
                f"{target} was pulled from {origin.url}, not from {job.store.url}. Pull into another folder."
            )
        fingerprint = None if settings.model is None else settings.model.fingerprint
        if (fingerprint, settings.dim) != (manifest.fingerprint, manifest.dim):
            raise ModelMismatchError(
                f"Version {manifest.version} at {job.store.url} was made with another model ({manifest.model}, dim {manifest.dim}) "
                f"than {target}. Pull it into another folder, and open that."
            )
        work = _emptied(target)
        catalog, names = job.bring(target, work, local)
        same = origin == job.origin and names == _listed(local)  # other names: a file was damaged, and came again
        local.close()
        if not same:
            with contextlib.closing(Catalog.open(target, write=True)) as writing:
                writing.replace_by(catalog)
        _remove_others(target)
        shutil.rmtree(work)
    return job.report(target, new=not same)


class _Pull:
    """One version on its way: what it needs, and the bytes that have come."""

    def __init__(self, store: Store, manifest: Manifest, progress: Progress | None, known: Known) -> None:
        self.store, self.manifest, self._progress, self._known = store, manifest, progress, known
        self._received = self._done = 0

    def report(self, folder: Path, *, new: bool) -> Pulled:
        """What was done."""
        made = self.manifest
        return Pulled(folder, made.version, new, made.documents, made.size_bytes, self._received)

    @property
    def origin(self) -> Origin:
        """What the catalog will say of where it is from."""
        return Origin(self.store.url, self.manifest.version, self.manifest.publication)

    def bring(self, place: Path, work: Path, local: Catalog | None) -> tuple[Path, set[str]]:
        """Bring all files into the folder of segments, and the catalog into `work`.

        Returns:
            The catalog's path, ready to take its place, and the names of the files.
        """
        names = self._files(place, work, local)
        catalog = self._catalog(work, local)
        with contextlib.closing(Catalog.open(work, write=True)) as writing, writing.transaction():
            _rename(writing, names)
            writing.set_pulled(self.origin.to_json())
        log = work / (CATALOG_FILE + LOG)
        if log.exists() and log.stat().st_size:
            raise StorageError(f"{catalog} could not be written whole. Check free space, and pull again.")
        with contextlib.closing(Catalog.open(work)) as reading:  # every file is the one that the catalog lists
            Snapshot.open(place, reading, self.manifest.dim)
        return catalog, set(names.values())

    def _files(self, place: Path, work: Path, local: Catalog | None) -> dict[str, str]:
        """Names in the published catalog -> names in this folder, where every file then is."""
        segments = place / SEGMENT_FOLDER
        here = {self._sha256(path): path.name for path in own_files(place) if path.suffix != ".tmp"}
        listed = set() if local is None else _listed(local)
        names, taken = {}, set(here.values()) | listed
        free = max(
            (int(name.split(".")[0]) for name in (*taken, *(part.file for part in self.manifest.files))), default=0
        )
        for part in self.manifest.files:
            name = here.get(part.sha256)
            if name is None:
                name = part.file
                if name in taken:  # open readers may be about to open the other file of this name
                    free += 1
                    name = f"{free:08d}.{part.file.rsplit('.', maxsplit=1)[1]}"
                self._fetch(part, work / name)
                os.replace(work / name, segments / name)
                taken.add(name)
            else:
                self._advance(part.size_bytes, 0)
            names[part.file] = name
        sync_folder(segments)
        return names

    def _fetch(self, part: Part, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for begin in range(0, part.size_bytes, _CHUNK):
                chunk = self._read(part, [(begin, min(begin + _CHUNK, part.size_bytes))])[0]
                digest.update(chunk)
                file.write(chunk)
                self._advance(len(chunk), len(chunk))
            file.flush()
            os.fsync(file.fileno())
        self._check(digest.hexdigest(), part)

    def _catalog(self, work: Path, local: Catalog | None) -> Path:
        """The catalog as it was published, of blocks that are here and blocks that travel."""
        manifest, path = self.manifest, work / CATALOG_FILE
        content = self._read(manifest.map, [(0, manifest.map.size_bytes)])[0] if manifest.map.size_bytes else b""
        self._received += len(content)
        self._check(hashlib.sha256(content).hexdigest(), manifest.map)
        sizes = [pack.size_bytes for pack in manifest.packs]
        rows = BlockMap.from_bytes(content, packs=sizes, size_bytes=manifest.catalog.size_bytes).rows
        here: dict[bytes, int] = {}
        old = work / "before.sqlite"
        if local is not None:
            local.copy_to(old)
            here = {digest: block for block, digest in enumerate(digests_of(old))}
        wanted: dict[int, dict[int, list[int]]] = {}  # pack -> block of it -> blocks of the catalog
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open("wb"))
            before = opened.enter_context(old.open("rb")) if here else None
            for block, (digest, pack, number) in enumerate(rows.tolist()):
                if before is not None and (at := here.get(bytes(digest))) is not None:
                    before.seek(at * BLOCK)
                    file.seek(block * BLOCK)
                    file.write(before.read(BLOCK))
                    self._advance(BLOCK, 0)
                else:
                    wanted.setdefault(pack, {}).setdefault(number, []).append(block)
            for pack, blocks in sorted(wanted.items()):
                for begin, end in reads(sorted(blocks)):
                    [run] = self._read(manifest.packs[pack], [(begin * BLOCK, end * BLOCK)])
                    self._received += len(run)
                    for number in range(begin, end):
                        for block in blocks[number]:
                            file.seek(block * BLOCK)
                            file.write(run[(number - begin) * BLOCK : (number - begin + 1) * BLOCK])
                            self._advance(BLOCK, 0)
            file.truncate(manifest.catalog.size_bytes)
            file.flush()
            os.fsync(file.fileno())
        old.unlink(missing_ok=True)
        with path.open("rb") as written:
            self._check(_sha256(written), manifest.catalog)
        return path

    def _read(self, part: Part, ranges: list[tuple[int, int]]) -> list[bytes]:
        try:
            found = self.store.read_ranges(part.object, ranges)
        except ObjectMissingError as error:
            raise ObjectMissingError(
                f"Version {self.manifest.version} at {self.store.url} is not whole any more: {part.object} is missing. It may have "
                "been pruned meanwhile: pull the newest version, or publish again."
            ) from error
        if [len(one) for one in found] != [end - begin for begin, end in ranges]:
            raise IndexCorruptError(self._damaged(part))
        return found

    def _check(self, sha256: str, part: Part) -> None:
        if sha256 != part.sha256:
            raise IndexCorruptError(self._damaged(part))

    def _damaged(self, part: Part) -> str:
        return (
            f"{self.store.url}: {part.file} of version {self.manifest.version} came with another checksum or size than it was "
            "published with. Delete it there and publish again, or pull another version."
        )

    def _sha256(self, path: Path) -> str:
        status = path.stat()
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            with path.open("rb") as file:
                self._known[key] = _sha256(file)
        return self._known[key]

    def _advance(self, done: int, received: int) -> None:
        self._done += done
        self._received += received
        if self._progress is not None:
            self._progress(min(self._done, self.manifest.size_bytes), self.manifest.size_bytes)


def _rename(catalog: Catalog, names: dict[str, str]) -> None:
    """Let a catalog list its files by the names that they have here; call inside a transaction."""
    for record in catalog.segments():
        if record.file not in names:
            raise IndexCorruptError(
                f"The published catalog lists {record.file}, which its manifest does not. Publish again."
            )
        if names[record.file] != record.file:
            catalog.rename_segment_file(record.segment, f"{names[record.file]}.renaming")  # two may have changed names
    for record in catalog.segments():
        if record.file.endswith(".renaming"):
            catalog.rename_segment_file(record.segment, record.file.removesuffix(".renaming"))
    settings = catalog.settings()
    if settings.codec is not None:
        if settings.codec.file not in names:
            raise IndexCorruptError(
                f"The published catalog lists {settings.codec.file}, which its manifest does not. Publish again."
            )
        if names[settings.codec.file] != settings.codec.file:
            catalog.set_settings(codec=replace(settings.codec, file=names[settings.codec.file]))
    last = max((int(name.split(".")[0]) for name in names.values()), default=0)
    if last >= settings.next_segment:
        catalog.set_settings(next_segment=last + 1)


def _listed(catalog: Catalog) -> set[str]:
    codec = catalog.settings().codec
    return {record.file for record in catalog.segments()} | ({codec.file} if codec is not None else set())


def _remove_others(folder: Path) -> None:
    """Remove files that the catalog does not list any more. Readers that are about to open one move on to the newer state."""
    with contextlib.closing(Catalog.open(folder)) as catalog:
        listed = _listed(catalog)
    for path in own_files(folder):
        if path.name not in listed:
            with contextlib.suppress(OSError):  # on systems where a file in use stays: the next pull removes it
                path.unlink()


def _emptied(folder: Path) -> Path:
    work = folder / _WORK
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    work.mkdir()
    return work


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _local_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot write {error.filename or target}: {error.strerror or error}. Check the space and the permissions."
        ) from error
