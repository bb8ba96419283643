"""Which shard a document belongs to, and which row it gets there.

A document's shard follows from its id alone. Rows count documents over all shards in the order of adding: the document of
number n gets the row n * shards + shard. So rows order documents as those of one index do, no row is given twice, and a row says
which shard has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

ROUTING = "blake2b-64"  # as the manifest names it: the first 8 bytes of the hash, as a number, modulo the shards
MOST_SHARDS = 64
MOST_ROWS = (
    1 << 31
) - 1  # the catalog keeps the rows of a segment as offsets of 31 bits: 33 million documents at 64 shards


def shard_of(document_id: str, shards: int) -> int:
    """The number of the shard that a document belongs to.

    Args:
        document_id: Its id.
        shards: How many there are.

    Returns:
        From 0 to shards - 1; the same on every machine.
    """
    hashed = hashlib.blake2b(document_id.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(hashed, "big") % shards


def by_shard(ids: Iterable[str], shards: int) -> list[list[str]]:
    """Ids by the shard that they belong to.

    Args:
        ids: Ids of documents.
        shards: How many there are.

    Returns:
        A list for each shard, in the order given.
    """
    routed: list[list[str]] = [[] for _ in range(shards)]
    for document_id in ids:
        routed[shard_of(document_id, shards)].append(document_id)
    return routed
