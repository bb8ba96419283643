"""What a version consists of: one small JSON object, from which everything else is found and checked.

What it says comes from elsewhere, so that each value is checked before it is used: no name leads out of the folder.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from polyvec.errors import StorageError
from polyvec.publish.store import ObjectMissingError, Store

LAYOUT = 1
FILES, VERSIONS = "files/", "versions/"
SHARDS = "shards"  # at the top, where shards are published instead of one index
OWN_NAMES = ("files", "versions", "clock")  # at the top
_NAME = re.compile(r"versions/([0-9]{12})\.json")
_FILE = re.compile(r"[0-9]{8,30}\.(seg|codec)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 1 << 60


@dataclass(frozen=True)
class Part:
    """A file of a version. file: its name in an index, or what it is for · size_bytes · sha256: of its content, in hex."""

    file: str
    size_bytes: int
    sha256: str

    @property
    def object(self) -> str:
        """Its name in the store."""
        return f"{FILES}{self.sha256}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One published version.

    Attributes:
        version: Its number.
        publication: Drawn at random by the call that published it.
        published: When, by the publisher's clock, in ISO 8601. For people alone: nothing is decided by it.
        polyvec: The version of polyvec that published it.
        model: Name of the model; None for an index of vectors only.
        fingerprint: Of the model.
        dim: Dimensions of a token vector.
        documents: In the index.
        tokens: Token vectors of those.
        files: Segments and codec.
        catalog: The catalog as a whole.
        packs: Objects that hold its blocks.
        map: The object that says which block is where.
    """

    version: int
    publication: str
    published: str
    polyvec: str
    model: str | None
    fingerprint: str | None
    dim: int
    documents: int
    tokens: int
    files: tuple[Part, ...]
    catalog: Part
    packs: tuple[Part, ...]
    map: Part

    @property
    def parts(self) -> list[Part]:
        """Everything that has an object of its own in the store."""
        return [*self.files, *self.packs, self.map]

    @property
    def size_bytes(self) -> int:
        """Of the index."""
        return sum(part.size_bytes for part in self.files) + self.catalog.size_bytes

    def same_content(self, other: Manifest | None) -> bool:
        """Whether another version is the same state of an index."""
        return other is not None and (self.files, self.catalog) == (other.files, other.catalog)

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return (json.dumps({"layout": LAYOUT, **asdict(self)}, ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Manifest:
        """Read one. Raises StorageError for another layout, or for what no publisher has written."""
        try:
            stored = json.loads(content)
            layout = int(stored["layout"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StorageError(f"{name} is no manifest of polyvec: it is damaged, or of another program.") from error
        if layout != LAYOUT:
            raise StorageError(
                f"{name} has layout {layout}, and this polyvec reads layout {LAYOUT}. Use the version of polyvec that published it."
            )
        try:
            return cls(
                version=whole_value(stored["version"]),
                publication=text_value(stored["publication"]),
                published=text_value(stored["published"]),
                polyvec=text_value(stored["polyvec"]),
                dim=whole_value(stored["dim"]),
                documents=whole_value(stored["documents"]),
                tokens=whole_value(stored["tokens"]),
                model=None if stored["model"] is None else text_value(stored["model"]),
                fingerprint=None if stored["fingerprint"] is None else text_value(stored["fingerprint"]),
                files=tuple(_part(part, _FILE) for part in stored["files"]),
                catalog=_part(stored["catalog"]),
                packs=tuple(_part(part) for part in stored["packs"]),
                map=_part(stored["map"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{name} is damaged: {error}. Publish again, or pull another version.") from error


def name_of(version: int) -> str:
    """The object of a version's manifest. Names sort as numbers do."""
    return f"{VERSIONS}{version:012d}.json"


def versions_at(store: Store) -> list[int]:
    """Numbers of the versions that are there, ascending."""
    return sorted(dated_versions_at(store))


def dated_versions_at(store: Store) -> dict[int, datetime]:
    """Numbers of the versions that are there, and when each came, by the store's clock."""
    found = ((_NAME.fullmatch(one.name), one.modified) for one in store.listed(VERSIONS))
    return {int(match[1]): modified for match, modified in found if match}


def newest_at(store: Store) -> Manifest | None:
    """The newest version; None where nothing is published.

    Raises:
        StorageError: Something else is there, or a manifest that cannot be read.
    """
    versions = versions_at(store)
    if versions:
        return read_manifest(store, versions[-1])
    if others := [name for name in store.names() if name not in OWN_NAMES]:
        if SHARDS in others:
            raise StorageError(
                f"Shards are published at {store.url}, not one index. `polyvec pull` brings them into a folder, for all commands."
            )
        raise StorageError(
            f"No index is published at {store.url}, and other things are there ({others[0]!r}). Name a place of its own."
        )
    return None


def version_at(store: Store, version: int | None) -> Manifest:
    """A version to pull: the newest one for None.

    Raises:
        StorageError: It is not there, or cannot be read.
    """
    if version is None:
        newest = newest_at(store)
        if newest is None:
            raise StorageError(f"Nothing is published at {store.url} yet: it is empty.")
        return newest
    try:
        return read_manifest(store, version)
    except ObjectMissingError as error:
        there = versions_at(store)
        if not there:
            newest_at(store)
            raise StorageError(f"Nothing is published at {store.url} yet: it is empty.") from error
        known = f"{there[0]} to {there[-1]}" if len(there) > 1 else f"{there[0]}"
        raise StorageError(
            f"There is no version {version} at {store.url}: it was pruned, or never published. There is {known}."
        ) from error


def read_manifest(store: Store, version: int) -> Manifest:
    """One version's manifest. Raises ObjectMissingError, StorageError."""
    name = name_of(version)
    manifest = Manifest.from_bytes(store.read(name), f"{store.url}/{name}")
    if manifest.version != version:
        raise StorageError(f"{store.url}/{name} is damaged: it says version {manifest.version}. Pull another version.")
    return manifest


def _part(stored: Any, names: re.Pattern[str] | None = None) -> Part:
    file, sha256 = text_value(stored["file"]), text_value(stored["sha256"])
    if names is not None and not names.fullmatch(file):
        raise ValueError(f"{file!r} is no name of a file of an index")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no checksum")
    return Part(file, whole_value(stored["size_bytes"]), sha256)


def whole_value(value: Any) -> int:
    """A number that a stored manifest holds. Raises ValueError for what is no size or number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_BYTES:
        raise ValueError(f"{value!r} is no size or number")
    return value


def text_value(value: Any) -> str:
    """A text that a stored manifest holds. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
