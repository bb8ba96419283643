"""A collection whose shards are on other machines, searched and read as one index is. Nothing is written through it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from polyvec.cluster.serving.asking import NotHeldError
from polyvec.cluster.serving.session import ClusterSession
from polyvec.cluster.serving.version import Answers, OpenVersion
from polyvec.collection.reading import Reading
from polyvec.collection.searching import Searching
from polyvec.collection.writing import Changes, Writing
from polyvec.errors import ShardsMissingError, StorageError
from polyvec.index.catalog.filters import compile_filter
from polyvec.index.engine.options import SearchOptions
from polyvec.index.views import ReadableView
from polyvec.search.hits import Hit
from polyvec.search.missing import note_missing
from polyvec.search.retrieve import PreparedQuery, search_snapshot

if TYPE_CHECKING:
    from polyvec.encoder import TokenEncoder

_NEW_VERSION_S = 5.0  # that a search waits for another version, where its own is gone


class ClusterCollection(Searching, Reading, Writing):
    """Shards on other machines as one collection: a `Searcher` that refuses to write.

    Finds what `polyvec.Shards` finds in one process: the same ids, scores and order. A default search finds at least as much, as
    each shard looks for its own best documents.

    Args:
        session: The connection to the shards; closed with this object.
        encoder: The model; None to load the one that made the collection.
    """

    _session: ClusterSession

    def __init__(self, session: ClusterSession, *, encoder: TokenEncoder | None = None) -> None:
        super().__init__(session.path, encoder=encoder, session=session)

    def _search_each(
        self, view: ReadableView, queries: Iterable[PreparedQuery], options: SearchOptions, threads: int
    ) -> list[list[Hit]]:
        assert isinstance(view, OpenVersion)
        if options.filter is not None:
            compile_filter(options.filter)  # refused before anybody is asked
        waiting = list(queries)
        end = time.monotonic() + _NEW_VERSION_S
        while True:
            try:
                return [_found(view, query, options) for query in waiting]
            except NotHeldError as error:
                if time.monotonic() > end:
                    raise StorageError(f"{error} Ask again later.") from error
                time.sleep(0.05)
                self._session.refresh()
                view = self._session.version

    @contextmanager
    def _changing(self) -> Iterator[Changes]:
        raise StorageError(
            f"{self.name} is served by a cluster from a published copy. Change it where it is published from, and publish it again."
        )
        yield


def _found(version: OpenVersion, query: PreparedQuery, options: SearchOptions) -> list[Hit]:
    """The hits of one query in one version, less the shards that do not answer, where that is allowed."""
    answers = version.answers(query, options)
    _check_missing(answers, options)
    while True:
        snapshot, catalog = version.merged(answers)
        try:
            hits = search_snapshot(snapshot, catalog, query, options.unrestricted())
        except ShardsMissingError as error:  # it answered, and is gone before its texts have come
            answers = answers.without(error.shards, version.published.names)
            _check_missing(answers, options)
            continue
        note_missing(answers.missing)
        return hits


def _check_missing(answers: Answers, options: SearchOptions) -> None:
    if answers.missing and (options.on_missing == "error" or not answers.found):
        names = ", ".join(answers.missing)
        raise ShardsMissingError(f"No machine answers for {names}. Ask again later.", tuple(answers.missing))
