"""A folder that follows what is published: it asks now and then, and pulls what is new while others search.

Readers open the folder with auto_refresh=True, in this process or in others, and see a new version from one query to the next.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from polyvec.arguments import function, local_path, number
from polyvec.errors import PolyvecError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.place import absolute
from polyvec.publish.manifest import Manifest, version_at
from polyvec.publish.pulled_folder import Origin, origin_at
from polyvec.publish.pulling import Known, Progress, Pulled, pull_manifest
from polyvec.publish.store import ObjectMissingError, Store

log = logging.getLogger(__name__)
EVERY_S = 10.0


def follow(
    url: str,
    folder: str | os.PathLike[str],
    *,
    every_s: float = EVERY_S,
    on_pull: Callable[[Pulled], None] | None = None,
) -> Follower:
    """Pull what is published, and from then on, in a thread of its own, each newer version.

    Args:
        url: Where it is published, as `publish` takes it.
        folder: As `pull` has it.
        every_s: Seconds between two questions whether there is something new.
        on_pull: Called after each pull that brought something, in the thread that pulled.

    Returns:
        The follower, which has pulled once. `close` ends it; it is a context manager too.

    Raises:
        InputError: An argument makes no sense.
        StorageError: As `pull` raises it. Later failures are logged, kept in `problem`, and tried again.
    """
    follower = Follower(url, folder, every_s=every_s, on_pull=on_pull)
    follower.check()
    follower.start()
    return follower


class Follower:
    """Follows one published name in one folder.

    Attributes:
        version: That the folder holds; None before the first pull.
        problem: Why the last try failed; None where it did not.
    """

    def __init__(
        self,
        url: str,
        folder: str | os.PathLike[str],
        *,
        every_s: float = EVERY_S,
        on_pull: Callable[[Pulled], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Args: as `follow` has them, and progress as `pull` has it."""
        self._store = Store(url)
        self._target: Path = absolute(local_path("folder", folder))
        self._every_s = number("every_s", every_s, "seconds above 0, at most a day", lambda value: 0 < value <= 86_400)
        function("on_pull", on_pull)
        function("progress", progress)
        self._on_pull, self._progress = on_pull, progress
        self._known: Known = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.version: int | None = None
        self.problem: PolyvecError | None = None

    def check(self) -> Pulled | None:
        """Pull the newest version where the folder does not hold it. Returns what was pulled; None where nothing is new.

        Raises:
            StorageError: As `pull` raises it.
        """
        manifest = version_at(self._store, None)
        if (
            self.version is not None and (self._target / CATALOG_FILE).is_file()
        ):  # else its files have not been checked yet
            origin = Origin(self._store.url, manifest.version, manifest.publication)
            if origin_at(self._target) == origin:
                self.version = manifest.version
                return None
        pulled = self._pulled(manifest)
        self.version = pulled.version
        if pulled.new and self._on_pull is not None:
            self._on_pull(pulled)
        return pulled if pulled.new else None

    def start(self) -> None:
        """Check again and again in a thread of its own, until `close`."""
        self._thread = threading.Thread(target=self.run, name="polyvec-follow", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Check again and again, until `close` is called by another thread. What goes wrong is logged and tried again."""
        while not self._closed.wait(self._every_s):
            try:
                self.check()
                self.problem = None
            except PolyvecError as error:
                self.problem = error
                log.warning("%s: still at version %s: %s", self._target, self.version, error)

    def close(self) -> None:
        """Stop following, after a pull that is under way. The folder stays. Safe to call twice."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _pulled(self, manifest: Manifest) -> Pulled:
        try:
            return pull_manifest(self._store, manifest, self._target, progress=self._progress, known=self._known)
        except ObjectMissingError:
            newer = version_at(self._store, None)
            if newer.version <= manifest.version:
                raise
            # it was pruned while it was pulled
            return pull_manifest(self._store, newer, self._target, progress=self._progress, known=self._known)
