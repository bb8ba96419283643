"""Files of documents -> numbered blocks, one shard each. Every document is checked here, before anything is encoded.

Numbers count documents over all files, so that they order them as one index would; a shard follows from the id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from polyvec.cluster.building.inputs import documents_of, local_file
from polyvec.cluster.building.plan import Plan
from polyvec.cluster.building.work import Block, Int64, Work, packed, unpacked
from polyvec.data import Document
from polyvec.errors import InputError
from polyvec.shards.routing import MOST_ROWS, shard_of

_BLOCK_CHARACTERS = 16 << 20  # of a block's texts, about, at most
_DIGEST = 16  # bytes of an id's hash: two ids do not share one

Reached = Callable[[int], None]


@dataclass(frozen=True)
class File:
    """What a file held.

    Attributes:
        documents: That have a text.
        empty: Documents that have neither text nor title, and are left out.
        first_empty: The id of the first of them.
        blocks: For each shard, how many documents each of its blocks has.
    """

    documents: int
    empty: int
    first_empty: str
    blocks: list[list[int]]


def stage_file(work: Work, plan: Plan, number: int, reached: Reached | None = None) -> File:
    """Read a file into blocks; nothing where an earlier run has done so.

    Args:
        work: Where they go.
        plan: Of the build.
        number: Of the file.
        reached: Called with the number of documents just read.

    Returns:
        What the file held.

    Raises:
        InputError: The file is broken, holds what is no document, or an id twice.
    """
    name = f"inputs/{number:05d}"
    if (known := work.find_json(f"{name}.json")) is not None:
        return File(**known)
    one = plan.inputs[number]
    waiting: list[list[Document]] = [[] for _ in range(plan.shards)]
    characters = [0] * plan.shards
    file = File(0, 0, "", [[] for _ in range(plan.shards)])
    routes, digests, seen = bytearray(), bytearray(), set[bytes]()
    empty, first_empty, unseen = 0, "", 0

    def flush(shard: int) -> None:
        counts = file.blocks[shard]
        block = Block(number, shard, len(counts), len(waiting[shard]))
        work.put_documents(block, waiting[shard])
        counts.append(block.documents)
        waiting[shard], characters[shard] = [], 0

    with local_file(one) as path:
        for document, where in documents_of(one, path):
            digest = hashlib.blake2b(document.id.encode(), digest_size=_DIGEST).digest()
            if digest in seen:
                raise InputError(
                    f"{where}: document id {document.id!r} comes twice. Ids name one document each: make them unique."
                )
            seen.add(digest)
            if not document.text:
                empty, first_empty = empty + 1, first_empty or document.id
                continue
            shard = shard_of(document.id, plan.shards)
            routes.append(shard)
            digests += digest
            waiting[shard].append(document)
            characters[shard] += len(document.text)
            if len(waiting[shard]) == plan.block_documents or characters[shard] > _BLOCK_CHARACTERS:
                flush(shard)
            unseen += 1
            if reached is not None and unseen == 1000:
                reached(unseen)
                unseen = 0
    for shard, documents in enumerate(waiting):
        if documents:
            flush(shard)
    if reached is not None:
        reached(unseen)
    halves = np.array(digests, np.uint8).view("<u8").reshape(-1, 2)
    work.put(f"{name}.npz", packed({"shards": np.array(routes, np.uint8), "digests": halves}))
    staged = File(len(routes), empty, first_empty, file.blocks)
    work.put_json(f"{name}.json", asdict(staged))
    return staged


@dataclass(frozen=True)
class Staged:
    """All documents of a build, in blocks.

    Attributes:
        files: What each file held, in order.
    """

    files: tuple[File, ...]

    @cached_property
    def offsets(self) -> Int64:
        """(files + 1,) int64: the number of each file's first document, and how many there are."""
        return np.concatenate([[0], np.cumsum([file.documents for file in self.files])]).astype(np.int64)

    @property
    def documents(self) -> int:
        """How many there are."""
        return int(self.offsets[-1])

    def blocks(self, shard: int) -> Iterator[Block]:
        """Those of a shard, in the order of their documents."""
        for number, file in enumerate(self.files):
            for place, count in enumerate(file.blocks[shard]):
                yield Block(number, shard, place, count)

    def all_blocks(self) -> list[Block]:
        """Those of all shards."""
        shards = len(self.files[0].blocks) if self.files else 0
        return [block for shard in range(shards) for block in self.blocks(shard)]

    def numbers(self, work: Work, shard: int) -> Int64:
        """(n,) int64, ascending: the numbers of a shard's documents."""
        parts = [
            np.flatnonzero(_routes(work, number)["shards"] == shard) + self.offsets[number]
            for number in range(len(self.files))
        ]
        return np.concatenate(parts).astype(np.int64)

    def places(self, work: Work, numbers: Int64) -> list[tuple[Block, int]]:
        """Where documents are: the block of each, and its position in it.

        Args:
            work: That holds the blocks.
            numbers: (n,) int64, of documents.
        """
        found: list[tuple[Block, int] | None] = [None] * len(numbers)
        files = np.searchsorted(self.offsets, numbers, "right") - 1
        for number in np.unique(files).tolist():
            shards = _routes(work, number)["shards"]
            wanted = np.flatnonzero(files == number)
            inside = numbers[wanted] - self.offsets[number]
            for shard in np.unique(shards[inside]).tolist():
                counts = self.files[number].blocks[shard]
                ends = np.cumsum(counts)
                own = np.flatnonzero(shards == shard)
                some = np.flatnonzero(shards[inside] == shard)
                positions = np.searchsorted(own, inside[some])
                places = np.searchsorted(ends, positions, "right")
                for at, place, position in zip(wanted[some].tolist(), places.tolist(), positions.tolist(), strict=True):
                    begin = int(ends[place]) - counts[place]
                    found[at] = Block(number, shard, place, counts[place]), position - begin
        return [one for one in found if one is not None]


def check_staged(work: Work, plan: Plan, staged: Staged) -> None:
    """Check what can only be seen of all files together.

    Args:
        work: That holds the blocks.
        plan: Of the build.
        staged: What the files held.

    Raises:
        InputError: An id comes twice, there are no documents, or more than shards can number.
    """
    where = plan.inputs[0].shown if len(plan.inputs) == 1 else plan.inputs[0].place
    if not staged.documents:
        empty = sum(file.empty for file in staged.files)
        what = "every document is empty" if empty else "no documents in it"
        raise InputError(f"{where}: {what}. Expected at least one with a text.")
    if staged.documents * plan.shards > MOST_ROWS:
        raise InputError(
            f"{where}: {staged.documents:,} documents are more than {plan.shards} shards can number. Make fewer shards."
        )
    if len(staged.files) > 1:
        digests = np.concatenate([_routes(work, number)["digests"] for number in range(len(staged.files))])
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        twice = np.flatnonzero((digests[order[1:]] == digests[order[:-1]]).all(axis=1))
        if len(twice):
            _refuse_twice(work, plan, staged, [int(order[twice[0]]), int(order[twice[0] + 1])])


def _refuse_twice(work: Work, plan: Plan, staged: Staged, numbers: Sequence[int]) -> None:
    (block, position), (other, _) = staged.places(work, np.array(numbers, np.int64))
    identifier = work.documents(block)[position].id
    raise InputError(
        f"Document id {identifier!r} comes twice: in {plan.inputs[block.file].shown} and in {plan.inputs[other.file].shown}. Ids "
        "name one document each: make them unique."
    )


def _routes(work: Work, number: int) -> dict[str, npt.NDArray[Any]]:
    return unpacked(work.get(f"inputs/{number:05d}.npz"))
