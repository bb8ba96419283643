"""An address -> the shards that lie there, and which version of each of them makes up the newest version of them all.

An address names published shards, one published index, or a folder of this machine that `Shards.open` or `Index.open` opens.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from polyvec.arguments import shown
from polyvec.errors import InputError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.place import absolute
from polyvec.publish.manifest import version_at
from polyvec.publish.published_shards import holds_shards, newest_shards
from polyvec.publish.store import Store, parsed_url
from polyvec.shards.manifest import has_manifest, read_manifest

AS_IT_IS = ""  # the label of a folder's state before a machine has opened it


@dataclass(frozen=True)
class ShardAt:
    """One shard in one version.

    Attributes:
        name: Of the shard.
        place: The URL of its published index, or its folder.
        number: Of its published version; None for a folder, which is served as it is.
        publication: What tells versions of one number apart.
    """

    name: str
    place: str
    number: int | None = None
    publication: str = ""

    @property
    def label(self) -> str:
        """What machines call this version of the shard; `AS_IT_IS` for a folder."""
        return AS_IT_IS if self.number is None else f"{self.number}-{self.publication}"


@dataclass(frozen=True)
class CollectionAt:
    """One version of a collection.

    Attributes:
        version: Its number; None for a folder.
        shards: In order: a row belongs to shard `row % len(shards)`.
    """

    version: int | None
    shards: tuple[ShardAt, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the shards."""
        return tuple(shard.name for shard in self.shards)

    def shard(self, name: str) -> ShardAt:
        """One of them. Raises InputError where there is none of this name: the collection was split anew."""
        for one in self.shards:
            if one.name == name:
                return one
        raise InputError(
            f"There is no shard {shown(name)} any more, only {', '.join(self.names)}: a collection with other shards was "
            "published. Deploy it anew."
        )


def collection_at_address(address: str) -> CollectionAt:
    """The newest version of what lies at an address.

    Args:
        address: s3://, gs:// or az:// and a name, or a folder: where shards or an index are published; or a folder of shards, or
            of an index, as it is.

    Returns:
        Its version and its shards.

    Raises:
        InputError: It is no address.
        StorageError: Nothing lies there, or it cannot be read.
        MissingExtraError: obstore is not installed.
    """
    url, folder = parsed_url(address)
    if folder is not None and has_manifest(folder):
        place = absolute(folder)
        return CollectionAt(None, tuple(ShardAt(name, str(place / name)) for name in read_manifest(place).shards))
    if folder is not None and (folder / CATALOG_FILE).is_file():
        return CollectionAt(None, (ShardAt(folder.name, str(absolute(folder))),))
    if holds_shards(url):
        published = newest_shards(url)
        shards = (ShardAt(one.name, f"{url}/{one.name}", one.version, one.publication) for one in published.shards)
        return CollectionAt(published.version, tuple(shards))
    manifest = version_at(Store(url), None)
    name = url.rstrip("/").rpartition("/")[2]
    return CollectionAt(manifest.version, (ShardAt(name, url, manifest.version, manifest.publication),))


def name_of(address: str) -> str:
    """What the collection at an address is called: the last part of the address."""
    return os.path.basename(parsed_url(address)[0].rstrip("/")) or "collection"
