"""One writer a shard: what one that was cut off leaves does not count."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from polyvec.cluster.building.build import build_shards
from polyvec.cluster.building.work import Work
from polyvec.errors import StorageError
from polyvec.publish.published_shards import newest_shards
from tests.cluster.builds import Here, Killed, check_same_as_one_machine, rows, words, write_lines


def test_folders_of_writers_that_were_cut_off(here: Here, tmp_path: Path) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))

    here.kill_at("_write")
    with pytest.raises(Killed):
        build_shards(docs, tmp_path / "shards", encoder=words)
    result = tmp_path / ".shards.building" / "result"
    write_lines(result / ".shard-001-abc" / "catalog.sqlite", [])  # being written
    write_lines(result / "shard-002" / "catalog.sqlite", [])  # in its place, and not said so
    here.cut = lambda what: None
    build_shards(docs, tmp_path / "shards", encoder=words)
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)
    names = [f"shard-{number:03d}" for number in range(4)]
    assert sorted(os.listdir(tmp_path / "shards")) == ["commit.lock", *names, "shards.json"]


def test_a_writer_that_published_and_did_not_say_so(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))
    url = (tmp_path / "bucket").as_uri()
    with monkeypatch.context() as patched:
        patched.setattr("polyvec.cluster.building.work.Work.put_json", _killed_at_markers)
        with pytest.raises(Killed):
            build_shards(docs, url, encoder=words)
    with pytest.raises(StorageError, match="a build there is not complete"):
        newest_shards(url)
    build_shards(docs, url, encoder=words)
    whole = newest_shards(url)
    assert (whole.version, whole.documents) == (1, 60)


def _killed_at_markers(work: Work, name: str, value: object) -> None:
    if name.startswith("shards/"):
        raise Killed
    work.put(name, json.dumps(value).encode())


def test_a_full_disk_is_one_line(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(60))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr("polyvec.cluster.building.writing._place", full)
        with pytest.raises(StorageError, match=r"Cannot write somewhere: No space left on device.*goes on"):
            build_shards(docs, tmp_path / "shards", encoder=words)
    assert not (tmp_path / "shards").exists()
    build_shards(docs, tmp_path / "shards", encoder=words)
    check_same_as_one_machine(tmp_path / "shards", docs, tmp_path)
