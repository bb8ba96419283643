"""Publishing and pulling, cut at every single request; and two publishers at once, many rounds.

The long form of the latter: POLYVEC_ROUNDS=200 pytest tests/publish -k two_publishers
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polyvec import Index
from polyvec.errors import PublishConflictError, StorageError
from polyvec.index.catalog.catalog import Catalog
from polyvec.publish import publish, pull
from polyvec.publish.manifest import versions_at
from polyvec.publish.store import Store
from tests.conftest import WordEncoder
from tests.publish.indexes import answers, answers_at, cut_at, documents, make_index

ROUNDS = int(os.environ.get("POLYVEC_ROUNDS", "20"))
LOST = pytest.mark.parametrize("answered", [False, True], ids=["refused", "answer lost"])


def folder_url(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@LOST
def test_publishing_cut_at_every_request(
    tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    check_publishing_cut(tmp_path, folder_url(tmp_path), encoder, monkeypatch, answered=answered)


@LOST
def test_pulling_cut_at_every_request(
    tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    check_pulling_cut(tmp_path, folder_url(tmp_path), encoder, monkeypatch, answered=answered)


def test_two_publishers_at_once(tmp_path: Path, encoder: WordEncoder) -> None:
    check_publishers_at_once(tmp_path, folder_url(tmp_path), encoder, ROUNDS)


def test_pulling_with_a_disk_that_fails_at_every_step(
    tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state before or after, as a whole, and the same call goes on."""
    url = folder_url(tmp_path)
    source = make_index(tmp_path / "a", documents(120), encoder)
    publish(source, url)
    states = {1: answers_at(source, encoder)}
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(30, seed=7))
        index.compact()
        states[2] = answers(index)
    publish(source, url)
    pull(url, tmp_path / "b", version=1)
    reader = Index.open(tmp_path / "b", encoder=encoder, auto_refresh=True)
    found: set[int] = set()
    for number in range(1, 100):
        fresh = tmp_path / f"fresh-{number}"
        with disk_failing_at(monkeypatch, number) as first, contextlib.suppress(StorageError):
            pull(url, fresh, version=2)
        if fresh.exists():
            assert answers_at(fresh, encoder) == states[2]
        pull(url, fresh)
        assert answers_at(fresh, encoder) == states[2]
        pull(url, tmp_path / "b", version=1)
        with disk_failing_at(monkeypatch, number) as steps, contextlib.suppress(StorageError):
            pull(url, tmp_path / "b", version=2)
        state = answers(reader)
        found.add(next(version for version, one in states.items() if one == state))
        pull(url, tmp_path / "b", version=2)
        assert answers(reader) == states[2]
        if max(len(first), len(steps)) < number:
            break
    reader.close()
    assert found == {1, 2}
    assert number > 5


@contextlib.contextmanager
def disk_failing_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[str]]:
    """A disk that is full at one step and works again after. Gives the steps."""
    steps: list[str] = []

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            steps.append(name)
            if len(steps) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*given, **named)

        return run

    with monkeypatch.context() as patched:
        for name in ("fsync", "replace", "rename"):
            patched.setattr(os, name, failing(name, getattr(os, name)))
        patched.setattr(Catalog, "replace_by", failing("replace_by", Catalog.replace_by))
        patched.setattr(shutil, "rmtree", failing("rmtree", shutil.rmtree))
        yield steps


def check_publishing_cut(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    """After each cut, a reader finds the state before or after as a whole, and the same call goes on."""
    source = make_index(tmp_path / "a", documents(120), encoder)
    publish(source, url)
    states = [answers_at(source, encoder)]
    number, cuts = 1, 0
    while True:
        version = len(states)
        with Index.open(source, encoder=encoder) as index:
            index.update(documents(5, seed=number + 100, first=version))
            states.append(answers(index))
        with cut_at(monkeypatch, number, answered=answered) as seen, contextlib.suppress(StorageError):
            publish(source, url)
        if len(seen) < number:
            break  # no request was left to be cut
        cuts += 1
        pulled = pull(url, tmp_path / "b")
        found = answers_at(tmp_path / "b", encoder)
        assert found == states[pulled.version - 1]
        assert pulled.version in (version, version + 1)
        again = publish(source, url)
        assert again.version == version + 1
        assert again.new == (pulled.version == version)
        assert pull(url, tmp_path / "b").version == version + 1
        assert answers_at(tmp_path / "b", encoder) == states[version]
        number += 1
    assert cuts >= 8


def check_pulling_cut(
    tmp_path: Path, url: str, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    """A new folder is not there until it is whole; one that is there keeps its state; what came does not travel again."""
    source = make_index(tmp_path / "a", documents(120), encoder)
    publish(source, url)
    old = answers_at(source, encoder)
    whole = pull(url, tmp_path / "b").received_bytes
    with Index.open(source, encoder=encoder) as index:
        index.update(documents(5, seed=7))
        new = answers(index)
    publish(source, url)
    with cut_at(monkeypatch, 10**9) as seen:
        pull(url, tmp_path / "whole")
    for number in range(1, len(seen) + 1):
        fresh = tmp_path / f"fresh-{number}"
        with cut_at(monkeypatch, number, answered=answered), pytest.raises(StorageError):
            pull(url, fresh)
        assert not fresh.exists()
        pull(url, fresh)
        assert answers_at(fresh, encoder) == new
    reader = Index.open(tmp_path / "b", encoder=encoder, auto_refresh=True)
    with cut_at(monkeypatch, 10**9) as seen:
        pull(url, tmp_path / "b", version=2)
    for number in range(1, len(seen) + 1):
        pull(url, tmp_path / "b", version=1)
        with cut_at(monkeypatch, number, answered=answered), pytest.raises(StorageError):
            pull(url, tmp_path / "b", version=2)
        assert answers(reader) == old
        pulled = pull(url, tmp_path / "b", version=2)
        assert pulled.received_bytes < whole / 2
        assert answers(reader) == new
    reader.close()


def check_publishers_at_once(tmp_path: Path, url: str, encoder: WordEncoder, rounds: int) -> None:
    """Every version that is there is one publisher's, whole; a refused one has changed nothing, and comes through later."""
    indexes = [Index.create(tmp_path / name, encoder=WordEncoder()) for name in "ab"]
    states: dict[int, object] = {}
    refused = 0
    for round_ in range(rounds):
        for which, index in enumerate(indexes):
            index.add([{"id": f"r{round_}", "text": f"round w{round_} publisher w{which + 7} tea"}])
        results: list[object] = [None, None]
        start = threading.Barrier(2)

        def run(which: int, results: list[object] = results, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                results[which] = publish(indexes[which].path, url)
            except PublishConflictError as error:
                results[which] = error

        threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for which, result in enumerate(results):
            if isinstance(result, PublishConflictError):
                refused += 1
                assert "Somebody else published version" in str(result)
            else:
                assert result is not None
                assert result.version not in states  # type: ignore[attr-defined]
                states[result.version] = answers(indexes[which])  # type: ignore[attr-defined]
        pulled = pull(url, tmp_path / "pulled")
        assert answers_at(tmp_path / "pulled", encoder) == states[pulled.version]
    assert versions_at(Store(url)) == sorted(states) == list(range(1, len(states) + 1))
    assert len(states) + refused == 2 * rounds
    print(f"{rounds} rounds: {len(states)} versions, {refused} refused")
    for index in indexes:
        index.close()
