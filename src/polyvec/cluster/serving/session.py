"""What the machine that clients ask has open of a collection on others: the version that is searched, and the next one.

A new version takes over when every shard's machines hold it: from one query to the next, and no query sees parts of two.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from polyvec.cluster.serving.asking import Line, NotHeldError, Patience, ShardCalls
from polyvec.cluster.serving.loop import Loop
from polyvec.cluster.serving.place import CollectionAt
from polyvec.cluster.serving.question import Call, Route
from polyvec.cluster.serving.version import OpenVersion
from polyvec.errors import InputError, PolyvecError, ServerError, ShardsMissingError, StorageError
from polyvec.index.catalog.settings import IndexSettings

log = logging.getLogger(__name__)
EVERY_S = 10.0
_REPLICAS = 64  # that are asked whether they hold a version, at most
_LAGGARDS = 6  # looks that a version waits for the last replicas; then it takes over where one of each shard has it


class ClusterSession:
    """An `OpenSession` over shards on other machines. Nothing is written through it.

    Args:
        name: Of the collection.
        newest: Says which version is the newest.
        line: The way to the replicas of a shard, by its name.
        patience: How long to wait for a shard.
        every_s: Seconds between two looks for a newer version.
        open_within_s: Seconds that all shards have to come up.

    Raises:
        ServerError: They did not.
        StorageError: The address cannot be read, or its shards do not fit each other.
    """

    def __init__(
        self,
        name: str,
        newest: Callable[[], CollectionAt],
        line: Callable[[str], Line],
        *,
        patience: Patience | None = None,
        every_s: float = EVERY_S,
        open_within_s: float = 600.0,
    ) -> None:
        self.path = Path(name)
        self._newest, self._every_s = newest, every_s
        self._loop = Loop()
        self._patience = Patience() if patience is None else patience
        self._line = line
        self._calls: dict[str, ShardCalls] = {}
        self._looking = threading.Lock()
        self._loading = threading.Lock()
        self._ended = threading.Event()
        self._waited: tuple[CollectionAt, int] | None = None
        try:
            self.version = self._first(open_within_s)
        except BaseException:
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._follow, name="polyvec-following", daemon=True)
        self._thread.start()

    # -- OpenSession -------------------------------------------------------------------------------------------------------

    @property
    def loading(self) -> AbstractContextManager[Any]:
        """Held while the model is loaded."""
        return self._loading

    @property
    def settings(self) -> IndexSettings:
        """What holds for all shards together."""
        return self.version.settings

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._ended.is_set()

    @contextmanager
    def current(self) -> Iterator[OpenVersion]:
        """The version to read."""
        self.check_open()
        try:
            yield self.version
        except NotHeldError as error:
            self.refresh()
            raise StorageError(f"{error} Ask again.") from error

    def refresh(self) -> None:
        """Move on to the newest version where one replica of each shard holds it."""
        self.check_open()
        self._look(patient=False)

    def follow(self) -> None:
        """It follows already."""

    def check_open(self) -> None:
        """Raise StorageError after close()."""
        if self.closed:
            raise StorageError(f"{self.path}: the collection is closed.")

    def facts(self) -> dict[str, Any]:
        """Counts and sizes of the version that is searched, and which one it is."""
        version = self.version
        missing = [one.name for one in version.calls if one.gone]
        return {**version.facts(), "published_version": version.published.version, "missing_shards": missing}

    def problems(self) -> list[str]:
        """Refused: files are checked where they lie."""
        raise StorageError("A cluster does not read its files for a check. Run `polyvec verify` on a pulled copy.")

    def copy_to(self, target: Path, *, hard_links: bool, progress: Callable[[int, int], None] | None) -> int:
        """Refused: what a cluster serves is a copy already."""
        raise StorageError("A cluster makes no copies. Pull from where the collection is published.")

    def close(self) -> None:
        """End following and all calls; safe to call twice."""
        self._ended.set()
        self._thread.join()
        self._loop.close()

    def close_unused(self) -> None:
        """`close`, for an object that nobody holds any more."""
        self._ended.set()

    # -- versions ----------------------------------------------------------------------------------------------------------

    def _first(self, within_s: float) -> OpenVersion:
        """The version to begin with, once every shard answers."""
        end = time.monotonic() + within_s
        while True:
            try:
                return self._opened(self._newest())
            except (ShardsMissingError, NotHeldError) as error:
                if time.monotonic() > end:
                    raise ServerError(f"{self.path}: not ready within {within_s:g} s: {error}") from error
                log.info("%s: waiting: %s", self.path, error)
                time.sleep(min(self._every_s, 0.5))

    def _follow(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._find_missing()
                self._look(patient=True)
            except (PolyvecError, OSError) as error:
                log.warning("%s: still at version %s: %s", self.path, self.version.published.version, error)

    def _find_missing(self) -> None:
        """Ask the shards that did not answer, with patience, so that searches ask them again."""
        version = self.version
        for part, calls in zip(version.parts, version.calls, strict=True):
            if calls.gone:
                try:
                    self._loop.wait(calls.ask(Call("documents_with", part.label, ([],)), patient=True))
                except (ShardsMissingError, NotHeldError) as error:
                    log.warning("%s: %s", self.path, error)

    def _look(self, *, patient: bool) -> None:
        """Let a newer version take over, if there is one and it is held."""
        with self._looking:
            published = self._newest()
            if published == self.version.published:
                return
            if published.names != self.version.published.names:
                raise InputError("a collection with other shards was published. Deploy it anew.")
            looks = self._waited[1] if self._waited is not None and self._waited[0] == published else 0
            if patient and looks < _LAGGARDS and not self._held_by_all(published):
                self._waited = published, looks + 1
                return
            try:
                self.version = self._opened(published)
            except (ShardsMissingError, NotHeldError) as error:
                log.info("%s: version %s is not there yet: %s", self.path, published.version, error)
                return
            log.info("%s: version %s is searched now", self.path, published.version)

    def _opened(self, published: CollectionAt) -> OpenVersion:
        calls = [self._calls_of(name) for name in published.names]
        return self._loop.wait(_opened(published, calls, self._loop))

    def _held_by_all(self, published: CollectionAt) -> bool:
        calls = [self._calls_of(name) for name in published.names]
        wanted = zip(calls, (shard.label for shard in published.shards), strict=True)
        return self._loop.wait(_held_by_all(list(wanted), self._patience.try_s))

    def _calls_of(self, name: str) -> ShardCalls:
        if name not in self._calls:
            self._calls[name] = ShardCalls(name, self._line(name), self._patience)
        return self._calls[name]


async def _opened(published: CollectionAt, calls: list[ShardCalls], loop: Loop) -> OpenVersion:
    asked = (one.ask(Call("describe", shard.label)) for one, shard in zip(calls, published.shards, strict=True))
    return OpenVersion(published, await asyncio.gather(*asked), calls, loop)


async def _held_by_all(wanted: list[tuple[ShardCalls, str]], within_s: float) -> bool:
    """Whether every replica that can be reached holds the version of its shard."""
    return all(await asyncio.gather(*(_held(calls, label, within_s) for calls, label in wanted)))


async def _held(calls: ShardCalls, label: str, within_s: float) -> bool:
    """Ask one replica after another, as long as new ones reply."""
    route = Route()
    seen: set[str] = set()
    for _ in range(_REPLICAS):
        try:
            reply = await asyncio.wait_for(calls.line.send(Call("labels", label, (), within_s), route), within_s)
        except asyncio.TimeoutError:
            continue
        if reply.replica in seen or reply.kind != "done":
            break
        seen.add(reply.replica)
        if label not in reply.value:
            return False
    return bool(seen)
