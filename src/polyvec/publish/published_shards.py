"""Shards in an object store: each of them a published index, and one manifest that says which versions belong together.

    URL/shards/000000000001.json    a version of all shards together, created once, put last
    URL/shard-000/...               an index, as publishing.py puts it

What a manifest says comes from elsewhere, so each value is checked before it is used. Needs no Ray.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from polyvec.arguments import function, local_path, whole_number
from polyvec.atomic import check_new_folder
from polyvec.errors import PublishConflictError, StorageError
from polyvec.index.catalog.catalog import Catalog
from polyvec.index.catalog.settings import ModelRecord
from polyvec.index.format import sync_folder
from polyvec.index.place import absolute
from polyvec.index.upkeep.tuning import measured_curve
from polyvec.index.views import open_view
from polyvec.publish.manifest import text_value, version_at, whole_value
from polyvec.publish.pulling import pull_manifest
from polyvec.publish.store import ObjectExistsError, ObjectMissingError, Store
from polyvec.shards.manifest import Manifest, checked_manifest
from polyvec.shards.routing import ROUTING
from polyvec.shards.shards import finish_folder
from polyvec.shards.view import SharedSnapshot
from polyvec.version import __version__

LAYOUT = 1
VERSIONS, BUILD = "shards/", "build"
_FORMAT = "polyvec published shards"
_NAME = re.compile(r"shards/([0-9]{12})\.json")
_OWN_NAME = re.compile(r"shards|build|clock|shard-[0-9]{3}")


@dataclass(frozen=True)
class ShardVersion:
    """One shard of a version of all shards together.

    Attributes:
        name: Of its place below theirs, and of its folder where it is pulled.
        version: Of the published index there.
        publication: What tells versions of one number apart.
        documents: In the shard.
        tokens: Token vectors of those.
    """

    name: str
    version: int
    publication: str
    documents: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class PublishedShards:
    """One version of published shards.

    Attributes:
        version: Its number.
        publication: Drawn at random by the call that published it.
        published: When, by the publisher's clock, in ISO 8601. For people alone.
        polyvec: The version of polyvec that published it.
        dim: Dimensions of a token vector.
        nbits: Bits a dimension; 16 is fp16.
        model: None for shards of vectors only.
        codecs: Checksums of the codecs that shards may have; the first is that of all.
        shards: In order: a document's shard is a place in this list.
    """

    version: int
    publication: str
    published: str
    polyvec: str
    dim: int
    nbits: int
    model: ModelRecord | None
    codecs: tuple[str, ...]
    shards: tuple[ShardVersion, ...]

    @property
    def documents(self) -> int:
        """In all shards."""
        return sum(shard.documents for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Token vectors in all shards."""
        return sum(shard.tokens for shard in self.shards)

    def manifest(self) -> Manifest:
        """What a folder with these shards has as its shards.json."""
        names = tuple(shard.name for shard in self.shards)
        return Manifest(shards=names, dim=self.dim, nbits=self.nbits, model=self.model, codecs=self.codecs)

    def to_bytes(self) -> bytes:
        """As it is stored."""
        values = {
            "layout": LAYOUT,
            "format": _FORMAT,
            "version": self.version,
            "publication": self.publication,
            "published": self.published,
            "polyvec": self.polyvec,
            "routing": ROUTING,
            "dim": self.dim,
            "nbits": self.nbits,
            "encoder": None if self.model is None else asdict(self.model),
            "codecs": list(self.codecs),
            "documents": self.documents,
            "tokens": self.tokens,
            "shards": [asdict(shard) for shard in self.shards],
        }
        return (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> PublishedShards:
        """Read one. Raises StorageError for another layout, or for what no publisher has written."""
        try:
            stored = json.loads(content)
            layout = stored["layout"]
            known = stored["format"] == _FORMAT and type(layout) is int
        except (ValueError, KeyError, TypeError, RecursionError):
            known = False
        if not known:
            raise StorageError(f"{name} is no manifest of published shards: it is damaged, or of another program.")
        if layout != LAYOUT:
            raise StorageError(
                f"{name} has layout {layout}, and this polyvec reads layout {LAYOUT}. Use the version of polyvec that published it."
            )
        try:
            shards = tuple(_shard(one) for one in stored["shards"])
            common = checked_manifest({**stored, "shards": [shard.name for shard in shards]})
            return cls(
                version=whole_value(stored["version"]),
                publication=text_value(stored["publication"]),
                published=text_value(stored["published"]),
                polyvec=text_value(stored["polyvec"]),
                dim=common.dim,
                nbits=common.nbits,
                model=common.model,
                codecs=common.codecs,
                shards=shards,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{name} is damaged: {error}. Publish again, or use another version.") from error


def holds_shards(url: str) -> bool:
    """Whether shards are published at an address.

    Args:
        url: As `publish` takes it.

    Returns:
        Whether there is a version of them.

    Raises:
        InputError: The URL is none that is known.
        StorageError: The place cannot be read.
    """
    return bool(_versions(Store(url)))


def newest_shards(url: str) -> PublishedShards:
    """The newest version of the shards at an address; `shards_at` without a number."""
    return shards_at(url, None)


def shards_at(url: str, version: int | None) -> PublishedShards:
    """A version of published shards.

    Args:
        url: Where they are published, as `publish` takes it.
        version: Number of the version; None for the newest one.

    Returns:
        The version.

    Raises:
        InputError: The URL or the version is none.
        StorageError: There is no such version, or it cannot be read.
    """
    number = None if version is None else whole_number("version", version)
    return _shards_in(Store(url), number)


def check_place(store: Store) -> None:
    """Check that nothing but published shards is at a place, or nothing.

    Args:
        store: The place.

    Raises:
        StorageError: Something else is there.
    """
    others = [name for name in store.names() if not _OWN_NAME.fullmatch(name)]
    if not others:
        return
    if {"files", "versions"} & set(others):
        raise StorageError(
            f"{store.url} holds a published index, which is not made of shards. Name a place of its own for the shards."
        )
    raise StorageError(f"Other things are at {store.url} ({others[0]!r}). Name a place of its own for the shards.")


def publish_together(store: Store, manifest: Manifest, shards: Sequence[ShardVersion]) -> PublishedShards:
    """Make a new version of shards that are published already; the newest one where it is the same.

    Args:
        store: The place below which they are.
        manifest: What they have in common.
        shards: Their versions, in order.

    Returns:
        The version.

    Raises:
        PublishConflictError: Somebody else made this version meanwhile.
        StorageError: The store cannot be written.
    """
    versions = _versions(store)
    before = _read(store, versions[-1]) if versions else None
    if before is not None and (before.manifest(), before.shards) == (manifest, tuple(shards)):
        return before
    made = PublishedShards(
        version=versions[-1] + 1 if versions else 1,
        publication=uuid.uuid4().hex,
        published=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        polyvec=__version__,
        dim=manifest.dim,
        nbits=manifest.nbits,
        model=manifest.model,
        codecs=manifest.codecs,
        shards=tuple(shards),
    )
    try:
        store.create(_name_of(made.version), made.to_bytes())
    except ObjectExistsError as error:
        # an answer that was lost on its way lets the same request be sent twice: then the first one made it
        if _read(store, made.version).publication != made.publication:
            raise PublishConflictError(
                f"Somebody else published version {made.version} at {store.url} meanwhile. It stays as it is; run this again to "
                "put yours on top."
            ) from error
    return made


def pull_shards(
    url: str, folder: str | Path, *, version: int | None = None, progress: Callable[[int, int], None] | None = None
) -> PublishedShards:
    """Bring published shards into a new folder, which `Shards.open` opens; whole or not at all.

    Args:
        url: Where they are published, as `publish` takes it.
        folder: A path that is free, or an empty folder.
        version: Number of the version; None for the newest one.
        progress: Called with the bytes that are there and the bytes in all, those of the shards begun so far.

    Returns:
        The version.

    Raises:
        InputError: The URL or the version is none.
        StorageError: There is no such version, it is not whole, or something is in the folder.
        MissingExtraError: obstore is not installed.
    """
    target = absolute(local_path("folder", folder))
    function("progress", progress)
    number = None if version is None else whole_number("version", version)
    store = Store(url)
    published = _shards_in(store, number)
    check_new_folder(target)
    staging = target.with_name(
        f".{target.name}.pulling-{published.publication[:12]}"
    )  # what came stays for another try
    try:
        staging.mkdir(parents=True, exist_ok=True)
        before = total = 0
        for shard in published.shards:
            place = Store(f"{store.url}/{shard.name}")
            part = version_at(place, shard.version)
            if part.publication != shard.publication:
                raise StorageError(
                    f"Version {shard.version} at {place.url} is another one than version {published.version} of all shards names. "
                    "Publish the shards again."
                )
            total += part.size_bytes

            def shown(done: int, _: int, before: int = before, total: int = total) -> None:
                if progress is not None:
                    progress(before + done, total)

            pull_manifest(place, part, staging / shard.name, progress=shown)
            before = total
        _measure(staging, published)
        finish_folder(staging, published.manifest())
        check_new_folder(target)
        if target.is_dir():
            target.rmdir()
        staging.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"Cannot write {error.filename or target}: {error.strerror or error}. Check the space and the permissions."
        ) from error
    shutil.rmtree(staging, ignore_errors=True)
    return published


def _measure(folder: Path, published: PublishedShards) -> None:
    """Let every shard say what search settings find in all of them; each was measured alone."""
    folders = [folder / shard.name for shard in published.shards]
    with ExitStack() as held:
        views = [held.enter_context(open_view(one)) for one in folders]
        for view in views:
            view.retire()
        if not any(view.snapshot.codec is not None for view in views):
            return
        curve = measured_curve(SharedSnapshot.of(folder, [view.snapshot for view in views]))
    for one in folders:
        with closing(Catalog.open(one, write=True)) as catalog, catalog.transaction():
            if (codec := catalog.settings().codec) is not None:
                catalog.set_settings(codec=replace(codec, curve=curve))


def _shards_in(store: Store, version: int | None) -> PublishedShards:
    if version is None:
        if not (versions := _versions(store)):
            names = store.names()
            check_place(store)  # raises where other things are there
            what = "a build there is not complete" if BUILD in names else "it is empty"
            raise StorageError(f"No shards are published at {store.url} yet: {what}.")
        version = versions[-1]
    try:
        return _read(store, version)
    except ObjectMissingError as error:
        raise StorageError(f"There is no version {version} of shards at {store.url}.") from error


def _versions(store: Store) -> list[int]:
    """Numbers of the versions that are there, ascending."""
    found = (_NAME.fullmatch(one.name) for one in store.listed(VERSIONS))
    return sorted(int(match[1]) for match in found if match)


def _read(store: Store, version: int) -> PublishedShards:
    name = _name_of(version)
    published = PublishedShards.from_bytes(store.read(name), f"{store.url}/{name}")
    if published.version != version:
        raise StorageError(f"{store.url}/{name} is damaged: it says version {published.version}. Use another version.")
    return published


def _name_of(version: int) -> str:
    return f"{VERSIONS}{version:012d}.json"


def _shard(stored: Any) -> ShardVersion:
    return ShardVersion(
        text_value(stored["name"]),
        whole_value(stored["version"]),
        text_value(stored["publication"]),
        whole_value(stored["documents"]),
        whole_value(stored["tokens"]),
    )
