"""Which writing calls have changed each shard, so that one that was put back from an older copy, or changed alone, is noticed.

Each shard counts the calls that changed it, and keeps what the writer knew of the others' counts at its own last one. So a shard
that is older than the rest has a smaller count than another one remembers. A call that changes one shard alone tells the next one
too. Kept in the settings of the catalogs, in the transaction of the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyvec.index.catalog.catalog import Catalog

_KEY = "shard_calls"


def note_call(catalogs: Sequence[Catalog], changed: Mapping[int, int]) -> None:
    """Count a call; inside the transactions of all shards, after its changes.

    A shard that missed one call, which was cut off, has caught up when it is changed again. One that missed more stays behind.

    Args:
        catalogs: Of all shards, in order.
        changed: How many documents each shard that was changed has more, by its number.
    """
    if not changed:
        return
    seen = [_seen(catalog, len(catalogs)) for catalog in catalogs]
    known = _known(seen)
    after = [count + (number in changed) for number, count in enumerate(known)]
    told = {(number + 1) % len(catalogs): 0 for number in changed} if len(changed) == 1 else {}
    for number, more in {**told, **changed}.items():
        own, documents = seen[number][0][number], seen[number][1]
        calls = list(after)
        if number not in changed or known[number] - own > 1:
            calls[number] = own + (number in changed)
        documents = len(catalogs[number]) if documents is None else documents + more
        catalogs[number].set_meta({_KEY: {"calls": calls, "documents": documents}})


def missed_calls(names: Sequence[str], catalogs: Sequence[Catalog]) -> list[str]:
    """Which shards are older than what the others know of them.

    Args:
        names: What the shards are called in a message.
        catalogs: Of all shards, in one state.

    Returns:
        A line for each.
    """
    seen = [_seen(catalog, len(catalogs)) for catalog in catalogs]
    return [
        f"{names[number]} has seen {calls[number]} of the {known} writing calls that changed it. Where the last call was cut off, "
        "make it again with update; otherwise this shard is an older copy: restore all shards from one copy"
        for number, ((calls, _), known) in enumerate(zip(seen, _known(seen), strict=True))
        if calls[number] < known
    ]


def changed_alone(names: Sequence[str], catalogs: Sequence[Catalog]) -> list[str]:
    """Which shards have another number of documents than the last call left there.

    Args:
        names: What the shards are called in a message.
        catalogs: Of all shards, in one state.

    Returns:
        A line for each.
    """
    problems = []
    for name, catalog in zip(names, catalogs, strict=True):
        documents = _seen(catalog, len(catalogs))[1]
        if documents is not None and documents != len(catalog):
            problems.append(
                f"{name} holds {len(catalog):,} documents, and {documents:,} after the last call that changed it with the others: "
                "it was written alone. Restore it from a copy, and write to the whole folder only"
            )
    return problems


def _seen(catalog: Catalog, shards: int) -> tuple[list[int], int | None]:
    """What a shard knows: the calls that changed each shard, and the documents that it held then; None where nobody counted."""
    stored: Any = catalog.meta().get(_KEY)
    if isinstance(stored, dict):
        calls, documents = stored.get("calls"), stored.get("documents")
        if isinstance(calls, list) and len(calls) == shards and all(type(n) is int for n in [*calls, documents]):
            return calls, documents
    return [0] * shards, None


def _known(seen: Sequence[tuple[list[int], int | None]]) -> list[int]:
    """The calls that changed each shard, as far as any shard knows."""
    return [max(counts) for counts in zip(*(calls for calls, _ in seen), strict=True)]
