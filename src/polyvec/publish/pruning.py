"""Old versions are deleted when newer ones have been there for a while; then the files that no version lists any more.

By the store's own clock, which dates its objects: the clock of the machine that prunes may be off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from polyvec.arguments import number, whole_number
from polyvec.publish.manifest import FILES, dated_versions_at, name_of, newest_at, read_manifest
from polyvec.publish.store import Store

GRACE_S = 86_400.0


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes:
        url: Where, in one spelling.
        versions: Numbers of the versions that were deleted.
        kept: Numbers of those that are there.
        freed_bytes: Of the files that no version lists any more.
    """

    url: str
    versions: tuple[int, ...]
    kept: tuple[int, ...]
    freed_bytes: int


def prune(url: str, *, keep: int = 3, grace_s: float = GRACE_S) -> Pruned:
    """Delete old versions, and the files that only they had.

    Args:
        url: Where they are published, as `publish` takes it.
        keep: How many of the newest versions stay in any case.
        grace_s: Seconds that a version stays after a newer one came, and a file that no version lists after it was sent. It must be
            longer than any publishing or pulling takes.

    Returns:
        What was deleted.

    Raises:
        InputError: An option is out of its range.
        StorageError: The store cannot be read or written, or a manifest cannot be read; nothing is deleted then.
        MissingExtraError: obstore is not installed.
    """
    keep = whole_number("keep", keep, of="versions")
    grace = timedelta(seconds=number("grace_s", grace_s, "seconds, at least 0", lambda value: value >= 0))
    store = Store(url)
    newest_at(store)  # raises for a place that holds other things
    objects = store.listed(
        FILES
    )  # before the versions: a file of a version that comes meanwhile is not among them, or new
    dated = dated_versions_at(store)
    versions = sorted(dated)
    if not versions:
        return Pruned(store.url, (), (), 0)
    moment = store.now()
    replaced = {old: dated[new] for old, new in pairwise(versions)}
    gone = [one for one in versions[:-keep] if moment - replaced[one] >= grace]
    kept = [one for one in versions if one not in gone]
    wanted = {part.object for version in kept for part in read_manifest(store, version).parts}
    for version in gone:
        store.delete(name_of(version))
    freed = 0
    for one in objects:
        if one.name not in wanted and moment - one.modified >= grace:
            store.delete(one.name)
            freed += one.size_bytes
    return Pruned(store.url, tuple(gone), tuple(kept), freed)
