"""One shard on one machine: the versions of it that are here, each open to be searched.

Published versions are pulled into a folder of this machine, where only what is new travels; an earlier one stays open as long as it
is asked for. A folder that lies here is opened as it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvec.cluster.serving import answering
from polyvec.cluster.serving.place import AS_IT_IS, ShardAt, collection_at_address
from polyvec.cluster.serving.question import Call, Reply
from polyvec.deadlines import stopping
from polyvec.errors import IndexLockedError, InputError, PolyvecError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.lock import WriterLock
from polyvec.index.views import View, open_view
from polyvec.publish.pulled_folder import origin_of
from polyvec.publish.pulling import pull

log = logging.getLogger(__name__)

_MOST_FOLDERS = 100  # of one shard on one machine
_KEEP_S = 60.0  # that a version stays open after the last call for it


@dataclass
class _Version:
    view: View
    used: float


class HeldShard:
    """The versions of one shard that this machine holds. Safe to share between threads.

    Args:
        address: Of the collection.
        name: Of the shard.
        folder: Of this machine, for what is pulled; made where it is missing.
        threads: To search one query with.
        keep_s: Seconds that a version stays open after the last call for it, where a newer one is there.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        address: str,
        name: str,
        folder: Path,
        *,
        threads: int = 1,
        keep_s: float = _KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._name, self._base = address, name, folder
        self._threads, self._keep_s, self._clock = threads, keep_s, clock
        self._lock = threading.Lock()  # held while the table of versions is read or changed
        self._looking = threading.Lock()  # held while a version is pulled
        self._versions: dict[str, _Version] = {}  # in the order they came
        self._claimed: tuple[Path, WriterLock] | None = None

    @property
    def labels(self) -> list[str]:
        """The versions that are here, the newest last."""
        with self._lock:
            return list(self._versions)

    def look(self) -> bool:
        """Open the newest version where it is not here yet, and let go of old ones.

        Returns:
            Whether there was a newer one.

        Raises:
            StorageError: It cannot be read or pulled; what is here stays.
        """
        with self._looking:
            shard = collection_at_address(self._address).shard(self._name)
            new = self._open(shard)
            self._let_go()
            return new

    def begin(self) -> None:
        """`look`; where the address cannot be read, open the version that this machine pulled last.

        Raises:
            StorageError: There is neither.
        """
        try:
            self.look()
        except StorageError as error:
            if not self._open_copy():
                raise
            log.warning("%s: the copy of the last time is open: %s", self._name, error)

    def close(self) -> None:
        """Close every version; the folder stays for the next time."""
        with self._lock:
            versions, self._versions = list(self._versions.values()), {}
        for one in versions:
            one.view.retire()
        if self._claimed is not None:
            self._claimed[1].close()
            self._claimed = None

    def answer(self, call: Call, check: Callable[[], None] = lambda: None) -> Reply:
        """Do what a call says.

        Args:
            call: The call.
            check: Called between two steps; raises where nobody waits any more.

        Returns:
            The reply, whatever came of it.
        """
        if call.method == "labels":
            return Reply("done", self.labels)
        try:
            with self._using(call.version) as found:
                if found is None:
                    return Reply("not-held", self.labels)
                label, view = found
                with stopping(check):
                    return Reply("done", self._done(view, label, call))
        except InputError as error:
            return Reply("refused", (type(error).__name__, str(error)))
        except (PolyvecError, OSError) as error:
            log.warning("%s: %s failed: %s", self._name, call.method, error)
            return Reply("failed", str(error))

    def _done(self, view: View, label: str, call: Call) -> Any:
        if call.method == "search":
            return answering.search(view, call.arguments[0], self._threads)
        if call.method == "describe":
            return answering.describe(view, label)
        return answering.METHODS[call.method](view, *call.arguments)

    @contextmanager
    def _using(self, label: str) -> Iterator[tuple[str, View] | None]:
        """A version, kept open; None where it is not here. Of a folder, whichever state is open may be asked for."""
        with self._lock:
            if label == AS_IT_IS and self._versions:
                label = next(reversed(self._versions))
            found = self._versions.get(label)
            if found is not None:
                found.used = self._clock()
                view = found.view.__enter__()
        if found is None:
            yield None
            return
        try:
            yield label, view
        finally:
            view.__exit__(None, None, None)

    def _open(self, shard: ShardAt) -> bool:
        with self._lock:
            newest = next(reversed(self._versions.values()), None)
            if shard.label in self._versions or (shard.number is None and newest is not None):
                return False
        folder = Path(shard.place)
        if shard.number is not None:
            folder = self._folder() / "index"
            pull(shard.place, folder, version=shard.number)
        view = open_view(folder, before=None if newest is None else newest.view)
        origin = origin_of(view.catalog)
        if shard.number is not None and (origin is None or origin.publication != shard.publication):
            view.retire()
            raise StorageError(
                f"Version {shard.number} at {shard.place} is another one than the shards' manifest says. Publish the shards again."
            )
        label = answering.state_label(view) if shard.number is None else shard.label
        with self._lock:
            self._versions[label] = _Version(view, self._clock())
        log.info("%s: version %s is open", self._name, label)
        return True

    def _open_copy(self) -> bool:
        """Open what is in the folder for pulled versions. Returns whether there is something."""
        folder = self._folder() / "index"
        if not (folder / CATALOG_FILE).is_file():
            return False
        view = open_view(folder)
        origin = origin_of(view.catalog)
        if origin is None:
            view.retire()
            return False
        with self._lock:
            self._versions[ShardAt(self._name, origin.url, origin.version, origin.publication).label] = _Version(
                view, self._clock()
            )
        return True

    def _let_go(self) -> None:
        with self._lock:
            *old, _ = self._versions
            done = [label for label in old if self._clock() - self._versions[label].used > self._keep_s]
            views = [self._versions.pop(label).view for label in done]
        for view in views:
            view.retire()

    def _folder(self) -> Path:
        """A folder that no other process of this machine uses: the one of the last time, where that is free."""
        if self._claimed is None:
            for number in range(_MOST_FOLDERS):
                folder = self._base / f"{self._name}.{number}"
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    self._claimed = folder, WriterLock(folder)
                    break
                except IndexLockedError:
                    continue
                except OSError as error:
                    raise StorageError(f"Cannot write to {folder}: {error.strerror}. Choose another folder.") from error
        if self._claimed is None:
            raise StorageError(
                f"{self._base} holds {_MOST_FOLDERS} copies of {self._name} that are all in use. Choose another folder."
            )
        return self._claimed[0]
