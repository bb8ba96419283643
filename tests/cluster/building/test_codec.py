"""The codec of a build is the one that an index of all documents trains, whatever part of them is sampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.cluster.building.codec import Sampling, load_codec, needs_count, train
from polyvec.cluster.building.encoding import BlockEncoder
from polyvec.index.reader import SEGMENT_FOLDER
from polyvec.index.upkeep import merging
from tests.cluster.building.test_documents import staged_in
from tests.cluster.builds import rows, words, write_lines
from tests.conftest import WordEncoder


@pytest.mark.parametrize("room", [200, 10_000, 10**6])
def test_the_codec_of_one_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    documents = rows(900)
    write_lines(tmp_path / "docs" / "a.jsonl", documents)
    work, plan, staged = staged_in(tmp_path)
    plan_json = {**plan.to_json(), "model": {"fingerprint": WordEncoder().fingerprint, "settings": {}}}
    encoder = BlockEncoder(work.url, plan_json, words, 1)
    sampling = Sampling(work, staged, room=room)
    rounds = 0
    while tasks := sampling.next_tasks():
        sampling.take([encoder.run(task) for task in tasks])
        rounds += 1
    assert rounds == (1 if room == 200 else 2)
    assert sampling.is_whole == (room == 10**6)
    tokens = sum(len(row["text"].split()) for row in documents)
    assert sampling.tokens >= min(room, tokens)
    whole = merging.sampled
    monkeypatch.setattr(merging, "sampled", lambda drawn: whole(drawn, room))
    monkeypatch.setattr("polyvec.cluster.building.codec.sampled", lambda drawn: whole(drawn, room))
    record = train(work, 4, sampling.parts, tokens)
    with Index.create(tmp_path / "one", encoder=WordEncoder()) as one:
        one.add(documents)
        one.compact()
    (file,) = (tmp_path / "one" / SEGMENT_FOLDER).glob("*.codec")
    assert work.get("codec") == file.read_bytes()
    codec, again = load_codec(work)
    assert again == record
    assert codec.dim == 16
    assert train(work, 4, [], 0) == record, "what is trained stays"


def test_tokens_are_counted_only_where_that_decides_something(tmp_path: Path) -> None:
    write_lines(tmp_path / "docs" / "a.jsonl", rows(900))
    work, _, staged = staged_in(tmp_path)
    sampling = Sampling(work, staged)
    (tasks,) = [sampling.next_tasks()]
    sampling.take([{"tokens": [20] * sum(len(places) for _, places in task["documents"])} for task in tasks])
    assert needs_count(sampling, staged)
    long = Sampling(work, staged)
    tasks = long.next_tasks()
    long.take([{"tokens": [200_000] * sum(len(places) for _, places in task["documents"])} for task in tasks])
    assert not needs_count(long, staged)
    assert long.next_tasks() == []
    assert np.isclose(long.mean_tokens, 200_000)
