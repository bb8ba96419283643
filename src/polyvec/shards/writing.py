"""Documents, vectors and metadata into shards, and out of them: each by its id into the shard that it belongs to.

A call is one transaction in each shard. Everything is checked, encoded and written before the first of them commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import numpy as np

from polyvec.collection.writing import Changes, Writing
from polyvec.errors import StorageError
from polyvec.index.catalog.protocol import ReadableCatalog
from polyvec.index.writing.arrivals import Arrival, D, Encode, in_batches
from polyvec.index.writing.arriving_ids import ArrivingIds
from polyvec.index.writing.report import AddReport, Existing
from polyvec.index.writing.writer import Writer
from polyvec.shards.catalog import SharedCatalog
from polyvec.shards.routing import MOST_ROWS, by_shard, shard_of
from polyvec.shards.session import ShardsSession
from polyvec.shards.upkeep import compact, keep_up

_MOST_BATCHES = 4  # of 65,536 token vectors, that are in memory before they go to their shards


class ShardsWriting(Writing):
    """The first writing call takes the writer's lock of every shard, and keeps them until `close()`. Threads take turns.

    What a call stores is durable on return. Where it fails, on account of a document, an id, the model or a full disk, nothing of
    it is stored. Shards commit one right after the other, within milliseconds; only where the process ends, or the disk fails,
    between two of these commits, some shards have their part of the call and the others not. Each document is whole even then, old
    or new, and `update` with the same documents completes the call.
    """

    _session: ShardsSession

    @contextmanager
    def _changing(self) -> Iterator[Changes]:
        with self._session.writing() as writers:
            yield _ShardsChanges(self._session, writers)


class _ShardsChanges:
    """See `Changes`."""

    def __init__(self, session: ShardsSession, writers: Sequence[Writer]) -> None:
        self._session, self._writers = session, writers

    @property
    def catalog(self) -> ReadableCatalog:
        return SharedCatalog([writer.catalog for writer in self._writers])

    def add(
        self,
        documents: Iterable[D],
        encode: Encode[D],
        existing: Existing,
        *,
        metadata: Iterable[tuple[int, Mapping[str, Any]]] = (),
    ) -> AddReport:
        """Store a stream of documents, and other metadata for documents that stay, and commit; see `Writer.add`."""
        session, writers = self._session, self._writers
        count = len(writers)
        report = AddReport()
        with session.together(writers) as changed:
            described: list[list[tuple[int, Mapping[str, Any]]]] = [[] for _ in writers]
            for row, fields in metadata:
                described[row % count].append((row, fields))
            for shard, some in enumerate(described):
                if some:
                    writers[shard].set_metadata(some)
                    changed[shard] = 0
            number = max(-(-writer.catalog.next_row() // count) for writer in writers)
            ids = ArrivingIds(SharedCatalog([w.catalog for w in writers]).rows_of, number * count, existing, report)
            batches = in_batches(encode(ids.checked(documents)))
            while arrivals := list(chain.from_iterable(islice(batches, min(count, _MOST_BATCHES)))):
                parts: list[list[Arrival]] = [[] for _ in writers]
                rows: list[list[int]] = [[] for _ in writers]
                _check_room(session, number + len(arrivals))
                for arrival in arrivals:
                    shard = shard_of(arrival.document.id, count)
                    parts[shard].append(arrival)
                    rows[shard].append(number * count + shard)
                    number += 1
                for shard, part in enumerate(parts):
                    if part:
                        given = np.array(rows[shard], np.int64)
                        done = writers[shard].add(map(_Arrived, part), _arrivals, "replace", rows=given)
                        changed[shard] = changed.get(shard, 0) + done.added
                        _add(report, done)
                ids.in_flight.difference_update(arrival.document.id for arrival in arrivals)
        return report

    def keep_up(self, added: int) -> None:
        keep_up(self._session, self._writers, added)

    def delete(self, ids: list[str]) -> int:
        routed = by_shard(ids, len(self._writers))
        return self._deleted(lambda number, writer: writer.delete(routed[number]) if routed[number] else 0)

    def delete_where(self, condition: Mapping[str, Any]) -> int:
        return self._deleted(lambda _, writer: writer.delete_where(condition))

    def _deleted(self, delete: Callable[[int, Writer], int]) -> int:
        """Delete from each shard; how many documents there were in all."""
        with self._session.together(self._writers) as changed:
            counts = {number: delete(number, writer) for number, writer in enumerate(self._writers)}
            changed.update({number: -count for number, count in counts.items() if count})
        return sum(counts.values())

    def compact(self, *, retrain: bool) -> None:
        compact(self._session, self._writers, retrain=retrain)
        self._session.vacuum()


def _check_room(session: ShardsSession, number: int) -> None:
    """Raise StorageError where so many documents have been added that no row is left for another."""
    count = len(session.sessions)
    if number * count > MOST_ROWS:
        raise StorageError(
            f"{session.path}: {MOST_ROWS // count:,} documents were added or replaced, as many as {count} shards can number. Copy "
            "them into new shards, or into fewer."
        )


class _Arrived:
    """An arrival under its document's id."""

    __slots__ = ("arrival", "id")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival, self.id = arrival, arrival.document.id


def _arrivals(arrived: Iterator[_Arrived]) -> Iterator[Arrival]:
    return (one.arrival for one in arrived)


def _add(report: AddReport, part: AddReport) -> None:
    report.added += part.added
    report.replaced += part.replaced
    report.tokens += part.tokens
    report.truncated += part.truncated
