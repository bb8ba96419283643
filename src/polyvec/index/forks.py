"""What has to happen around a fork: calls under way are waited for before it, and a child releases what its parent holds.

A fork copies one thread and every open file. Locks that other threads held stay locked in the child for ever, and SQLite's idea of
which file locks it holds is wrong there. Each object that owns such a thing says here what to do.
"""

from __future__ import annotations

import os
import threading
import time
import weakref

_PATIENCE_SECONDS = 10.0  # that a fork waits for calls of other threads, for all of them together


class ForkAware:
    """Something that a fork must not copy as it is. Registered as long as it lives, from `watch_forks` on."""

    def before_fork(self, until: float) -> None:
        """In the parent: wait for calls of other threads, at most until time.monotonic() == until, and keep new ones waiting."""

    def after_fork_in_parent(self) -> None:
        """In the parent: allow calls again."""

    def after_fork_in_child(self) -> None:
        """In the child, before anything else runs there: forget locks and what only the parent may use."""

    def begin_in_child(self) -> None:
        """In the child, after all `after_fork_in_child`: open again what has to be as it was at the moment of the fork."""


def watch_forks(one: ForkAware) -> None:
    """Call its methods around every fork from now on, until nobody holds it any more."""
    with _forks.lock:
        _forks.watched.add(one)


class _Forks:
    """The objects that are watched, and the lock that is held while they change and during a fork."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.watched: weakref.WeakSet[ForkAware] = weakref.WeakSet()
        self.waited_for: list[ForkAware] | None = None  # while a fork is under way


_forks = _Forks()


def notice_fork() -> None:
    """Do what a fork hook would have done, in a child of a fork that Python did not notice. Call it before files are used."""
    if _forks.process != os.getpid():
        _in_child()


def forks_held_off() -> threading.RLock:
    """Hold this, briefly, while a fork would copy something half done."""
    return _forks.lock


def watched_by_type(kind: type[ForkAware]) -> list[ForkAware]:
    """Every object of a kind that is watched now."""
    with _forks.lock:
        return [one for one in _forks.watched if isinstance(one, kind)]


def _before() -> None:
    _forks.lock.acquire()
    until = time.monotonic() + _PATIENCE_SECONDS
    _forks.waited_for = list(_forks.watched)
    for one in _forks.waited_for:
        one.before_fork(until)


def _in_parent() -> None:
    waited_for, _forks.waited_for = _forks.waited_for, None
    if waited_for is not None:
        for one in waited_for:
            one.after_fork_in_parent()
        _forks.lock.release()


def _in_child() -> None:
    _forks.process, _forks.lock, _forks.waited_for = os.getpid(), threading.RLock(), None
    watched = list(_forks.watched)
    for one in watched:
        one.after_fork_in_child()
    for one in watched:
        one.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
