"""What one process has open of a folder of shards: a session of each, read as one state and written as one.

Every read passes `current`, every change passes `writing`. Knows nothing about models and hits.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyvec.atomic import staged
from polyvec.errors import IndexCorruptError, IndexMissingError, ModelMismatchError, StorageError
from polyvec.index.catalog.catalog import CATALOG_FILE
from polyvec.index.catalog.settings import IndexSettings
from polyvec.index.reader import LiveSegment
from polyvec.index.session import Session
from polyvec.index.views import View
from polyvec.index.writing.writer import Writer
from polyvec.shards.calls import changed_alone, missed_calls, note_call
from polyvec.shards.commit_lock import COMMIT_LOCK_FILE, CommitLock
from polyvec.shards.manifest import MANIFEST_FILE, read_manifest
from polyvec.shards.routing import shard_of
from polyvec.shards.view import SharedView

log = logging.getLogger(__name__)

_SUMS = (
    "documents", "tokens", "truncated_documents", "deleted_rows", "segments", "coded_segments", "text_bytes", "vector_bytes",
    "catalog_bytes", "unlisted_files", "damaged_files", "size_bytes",
)  # fmt: skip


class ShardsSession:
    """An `OpenSession` over the shards of a folder. Safe to share between threads and after a fork, as its parts are.

    Args:
        path: The folder.

    Raises:
        IndexMissingError: There is no manifest, or a shard is not there.
        IndexCorruptError: A shard does not fit the manifest, or a file is damaged.
        ModelMismatchError: A shard was made by another model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = read_manifest(path)
        self.lock = CommitLock(path)
        self.closed = False
        self._following = False
        self._sound: dict[int, LiveSegment] = {}  # segments whose rows were checked, by identity
        self._view: SharedView | None = None
        self._settings = self.manifest.settings()
        with ExitStack() as opened, self.lock.reading():
            self.sessions: list[Session] = []
            for name in self.manifest.shards:
                self._check_there(path / name)
                session = Session(path / name)
                opened.callback(session.close)
                self.sessions.append(session)
            with ExitStack() as held:
                view = self._shared([held.enter_context(session.current()) for session in self.sessions])
                for problem in missed_calls([str(session.path) for session in self.sessions], view.catalog.catalogs):
                    log.warning("%s", problem)
            opened.pop_all()

    # -- reading -----------------------------------------------------------------------------------------------------------

    @property
    def loading(self) -> AbstractContextManager[Any]:
        """Held while the model is loaded."""
        return self.sessions[0].loading

    @property
    def settings(self) -> IndexSettings:
        """What holds for the whole."""
        return self._settings

    @contextmanager
    def current(self) -> Iterator[SharedView]:
        """The state to read, kept open: one moment of all shards."""
        self.check_open()
        with ExitStack() as held:
            with self.lock.reading():
                views = [held.enter_context(session.current()) for session in self.sessions]
            yield self._shared(views)

    def refresh(self) -> None:
        """Move on to the newest committed state of all shards. Reads under way keep theirs."""
        self.check_open()
        with self.lock.reading():
            self._read_manifest()
            for session in self.sessions:
                session.refresh()

    def follow(self) -> None:
        """From now on, every read sees the newest committed state."""
        self._following = True
        for session in self.sessions:
            session.follow()

    def check_open(self) -> None:
        """Raise StorageError after close()."""
        if self.closed:
            raise StorageError(f"{self.path}: the shards are closed. Open them again with Shards.open.")
        self.sessions[0].check_open()

    def facts(self) -> dict[str, Any]:
        """Counts and sizes of all shards together, as plain JSON values."""
        parts = [session.facts() for session in self.sessions]
        facts = {**joined_facts(parts), "path": str(self.path)}
        own = sum((self.path / name).stat().st_size for name in (MANIFEST_FILE,) if (self.path / name).is_file())
        facts["size_bytes"] += own
        return facts

    def problems(self) -> list[str]:
        """Read everything, and hold every id against its shard. Returns the problems found; empty if there are none."""
        problems = [problem for session in self.sessions for problem in session.problems()]
        with self.current() as view:
            names = [str(session.path) for session in self.sessions]
            problems += missed_calls(names, view.catalog.catalogs) + changed_alone(names, view.catalog.catalogs)
            for number, catalog in enumerate(view.catalog.catalogs):
                for document in catalog.all_documents():
                    if (right := shard_of(document.id, len(self.sessions))) != number:
                        problems.append(
                            f"{catalog.path}: document {document.id!r} is in shard {number} and belongs into shard {right}"
                        )
                        break
        return problems

    def copy_to(self, target: Path, *, hard_links: bool, progress: Callable[[int, int], None] | None) -> int:
        """Copy the newest committed state of all shards; a writer waits with its commit meanwhile. Returns the size, in bytes."""
        self.check_open()
        inside, outside = Path(os.path.realpath(target)), Path(os.path.realpath(self.path))
        if inside == outside or outside in inside.parents:
            raise StorageError(f"Cannot copy {self.path} into itself ({target}). Choose a path outside of it.")
        sizes = [session.facts()["size_bytes"] for session in self.sessions]
        done = 0
        with self.lock.reading(), staged(target) as staging:
            for number, session in enumerate(self.sessions):
                before, rest = done, sum(sizes[number + 1 :])

                def shown(part: int, total: int, before: int = before, rest: int = rest) -> None:
                    if progress is not None:
                        progress(before + part, before + total + rest)

                done += session.copy_to(staging / session.path.name, hard_links=hard_links, progress=shown)
            read_manifest(self.path).write(staging)
            (staging / COMMIT_LOCK_FILE).touch()
        return done

    def close(self) -> None:
        """Close files and release the writers' locks; safe to call twice."""
        self.sessions[0].close()  # raises in the middle of a change by this thread, before anything is closed
        self.closed = True
        with ExitStack() as last:  # each of them, whatever becomes of the others
            for session in self.sessions[1:]:
                last.callback(session.close)

    def close_unused(self) -> None:
        """`close`, for an object that nobody holds any more."""
        for session in self.sessions:
            session.close_unused()

    # -- writing -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[list[Writer]]:
        """The writers of all shards, for this thread alone.

        Raises IndexLockedError where another process writes, or this thread is in the middle of writing already.
        """
        self.check_open()
        with ExitStack() as held:
            writers = [held.enter_context(session.writing()) for session in self.sessions]
            self._read_manifest()
            yield writers

    @contextmanager
    def together(self, writers: Sequence[Writer]) -> Iterator[dict[int, int]]:
        """One transaction in each shard; they commit one right after the other, while nobody opens a state.

        Yields a dict to be filled with how many documents each shard that is changed has more, by its number.
        """
        changed: dict[int, int] = {}
        with ExitStack() as committing, ExitStack() as transactions:
            for writer in writers:
                transactions.enter_context(writer.together())
            yield changed
            note_call([writer.catalog for writer in writers], changed)
            committing.enter_context(self.lock.committing())

    def set_codecs(self, *checksums: str) -> None:
        """Say in the manifest which codecs shards may have, the one first that all of them get."""
        self.manifest = replace(self.manifest, codecs=checksums)
        self.manifest.write(self.path)

    def vacuum(self) -> None:
        """Give free space of every catalog back; call while `writing`."""
        for session in self.sessions:
            session.vacuum()

    # -- checks ------------------------------------------------------------------------------------------------------------

    def _read_manifest(self) -> None:
        """The codecs may be others than when the shards were opened; nothing else may."""
        now = read_manifest(self.path)
        if replace(now, codecs=()) != replace(self.manifest, codecs=()):
            raise StorageError(
                f"{self.path}: other shards lie here now than those that were opened. Open the path again."
            )
        self.manifest = now

    def _check_there(self, folder: Path) -> None:
        if not (folder / CATALOG_FILE).is_file():
            raise IndexMissingError(
                f"{folder} is missing, and {MANIFEST_FILE} lists it. Restore this shard from a copy; nothing was opened."
            )

    def _shared(self, views: list[View]) -> SharedView:
        """The views as one; those of the last call, where they are the same."""
        known = self._view
        if known is not None and all(a is b for a, b in zip(known.views, views, strict=True)):
            return known
        for number, view in enumerate(views):
            self._check(number, view)
        codec = next((view.settings.codec for view in views if view.settings.codec is not None), None)
        shared = SharedView(self.path, views, replace(self.manifest.settings(), codec=codec))
        self._sound = {id(live): live for live in shared.snapshot.segments}
        self._view, self._settings = shared, shared.settings
        return shared

    def _check(self, number: int, view: View) -> None:
        """Raise IndexCorruptError or ModelMismatchError where a shard is not what the manifest says."""
        settings, wanted, folder = view.settings, self.manifest, self.path / self.manifest.shards[number]
        if settings.state != "ready":
            raise IndexCorruptError(f"{folder} is not complete: its building was interrupted. Restore it from a copy.")
        if (settings.dim, settings.nbits) != (wanted.dim, wanted.nbits):
            raise IndexCorruptError(
                f"{folder} has dim {settings.dim} and nbits {settings.nbits}, and {MANIFEST_FILE} says {wanted.dim} and "
                f"{wanted.nbits}. Put the right shard there."
            )
        made, right = settings.model, wanted.model
        if (made and made.fingerprint) != (right and right.fingerprint):
            raise ModelMismatchError(
                f"{folder} was made by {f'model {made.name}' if made else 'no model'}, and {MANIFEST_FILE} says "
                f"{f'model {right.name}' if right else 'none'}: their vectors do not compare. Put the right shard there."
            )
        if settings.codec is not None and settings.codec.checksum not in wanted.codecs:
            self._read_manifest()  # a writer may have trained another one meanwhile
            if settings.codec.checksum not in self.manifest.codecs:
                raise IndexCorruptError(
                    f"{folder} has another codec ({settings.codec.checksum[:12]}) than {MANIFEST_FILE} says. Put the right shard "
                    "there; compact shards with `polyvec compact` of the whole folder only."
                )
        for live in view.snapshot.segments:
            if id(live) not in self._sound and (live.rows % len(wanted.shards) != number).any():
                raise IndexCorruptError(
                    f"{folder} holds documents that were added to this shard alone. Restore the shard from a copy, and add to "
                    f"{self.path} instead."
                )


def joined_facts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The facts of all shards as those of one index.

    Args:
        parts: Of each shard, as `index_facts` has them.

    Returns:
        The facts; the path is that of the first shard.
    """
    facts = {**parts[0], **{name: sum(part[name] for part in parts) for name in _SUMS}}
    languages: Counter[str] = Counter()
    for part in parts:
        languages.update(part["languages"])
    facts["languages"] = dict(sorted(languages.items(), key=lambda item: (-item[1], item[0])))
    facts["bytes_per_token"] = round(facts["vector_bytes"] / facts["tokens"], 2) if facts["tokens"] else None
    facts["codec"] = _codec_of(parts)
    return {**facts, "shards": len(parts)}


def _codec_of(parts: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What `info` says of the codec: the drift is the largest of any shard, the size that of all copies."""
    codecs = [part["codec"] for part in parts if part["codec"] is not None]
    if not codecs:
        return None
    drift, size = max(one["drift"] for one in codecs), sum(one["size_bytes"] for one in codecs)
    return {**codecs[0], "drift": drift, "size_bytes": size}
