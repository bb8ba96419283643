"""An index puts itself in order: many small calls make few files, enough tokens make a codec, a failure costs nothing."""

from __future__ import annotations

import errno
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec import Index
from polyvec.index.catalog.catalog import SegmentRecord
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.codec.training import centroid_count
from polyvec.index.upkeep import policy

DIM = 16


def record(number: int, tokens: int, documents: int = 10) -> SegmentRecord:
    return SegmentRecord(
        segment=number, file=f"{number}", first_row=number, last_row=number, rows=None, n_documents=documents, n_tokens=tokens,
        size_bytes=0, checksum="", kind="vectors",
    )  # fmt: skip


def arrays(count: int, seed: int = 0, length: int = 4) -> list[np.ndarray]:
    rows = np.random.default_rng(seed).standard_normal((count, length, DIM), dtype=np.float32)
    return list(rows / np.linalg.norm(rows, axis=2, keepdims=True))


def added(segments: list[SegmentRecord], number: int, tokens: int) -> tuple[list[SegmentRecord], int]:
    """The segments after one call, and the tokens that it wrote again."""
    taken = policy.absorbed(segments, tokens)
    copied = sum(one.n_tokens for one in taken)
    segments = [*segments[: len(segments) - len(taken)], record(number, tokens + copied)]
    while due := policy.merge_due(segments, [0] * len(segments)):
        assert due == segments[len(segments) - len(due) :]
        copied += sum(one.n_tokens for one in due)
        segments = [*segments[: len(segments) - len(due)], record(number, sum(one.n_tokens for one in due))]
    return segments, copied


@given(st.lists(st.one_of(st.integers(1, 50), st.integers(1, 200_000)), min_size=1, max_size=400))
def test_any_run_of_additions_leaves_few_segments_and_copies_little(sizes: list[int]) -> None:
    segments: list[SegmentRecord] = []
    copied = 0
    for number, tokens in enumerate(sizes):
        segments, again = added(segments, number, tokens)
        copied += again
        held = [one.n_tokens for one in segments]
        for place, size in enumerate(held):
            rest = sum(held[place + 1 :])
            assert size > policy.RATIO * rest or size + rest > policy.MERGED_TOKENS
    total = sum(sizes)
    assert sum(held) == total
    if total <= policy.MERGED_TOKENS:
        assert len(segments) <= 1 + np.log(total) / np.log(1 + policy.RATIO)
    assert copied <= total * (1 + np.log(total) / np.log(1 + 1 / policy.RATIO))


@pytest.mark.parametrize(
    ("calls", "tokens", "most_segments", "most_copied"), [(100, 37_000, 3, 7), (1000, 3700, 4, 11), (10_000, 37, 6, 16)]
)
def test_equal_additions(calls: int, tokens: int, most_segments: int, most_copied: int) -> None:
    segments: list[SegmentRecord] = []
    copied = 0
    for number in range(calls):
        segments, again = added(segments, number, tokens)
        copied += again
        assert len(segments) <= most_segments
    assert calls * tokens < copied <= most_copied * calls * tokens


def test_what_is_mostly_dead_is_written_alone_and_what_is_large_rests() -> None:
    segments = [record(0, 90_000), record(1, 9000), record(2, 1000)]
    assert policy.merge_due(segments, [0, 6, 0]) == [segments[1]]
    assert policy.merge_due(segments, [5, 5, 5]) == []
    assert policy.merge_due([record(0, policy.MERGED_TOKENS), record(1, policy.MERGED_TOKENS)], [0, 0]) == []
    assert policy.absorbed([record(0, 40_000)], 40_000) == []


def codec(tokens: int, **added: Any) -> CodecRecord:
    return CodecRecord(file="c", checksum="0", size_bytes=1, error=0.1, tokens=tokens, **added)


def test_when_a_codec_is_trained() -> None:
    assert not policy.training_due(None, policy.TRAIN_FROM - 1)
    assert policy.training_due(None, policy.TRAIN_FROM)
    fits = codec(200_000, added_tokens=300_000, added_error=0.12)
    assert not policy.training_due(fits, 490_000)
    assert policy.training_due(fits, 500_000)
    assert policy.training_due(replace(fits, added_error=0.2), 490_000)
    assert not policy.training_due(replace(fits, added_tokens=100_000, added_error=0.2), 300_000)
    settled = codec(9_000_000)
    assert centroid_count(9_000_000) == centroid_count(10**12)
    assert not policy.training_due(settled, 10**9)
    assert not policy.training_due(codec(100), 100_000)  # trained by an early `compact`
    assert policy.training_due(codec(100), policy.TRAIN_FROM)


def test_a_codec_of_a_growing_index_is_made_for_more_tokens() -> None:
    assert policy.expected_tokens(900, 1000) == 900  # some were deleted since
    assert policy.expected_tokens(1000, 900) == 1000
    expected = policy.expected_tokens(1000, 100)
    assert 1000 / expected == pytest.approx(expected / (1000 * policy.GROWTH), rel=0.01)


def test_a_hundred_calls_make_a_few_files(tmp_path: Path) -> None:
    vectors = arrays(100)
    with Index.create(tmp_path / "i", dim=DIM) as index:
        for number, one in enumerate(vectors):
            index.add_vectors([f"d{number}"], [one])
        assert index.info()["segments"] <= 3
        assert [hit.id for hit in index.search_vectors(vectors[77], k=1)] == ["d77"]
        assert index.verify() == []
    assert len(list((tmp_path / "i" / "segments").iterdir())) <= 3


def small_thresholds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy, "TRAIN_FROM", 2048)


@pytest.mark.parametrize("calls", [1, 8, 60])
def test_a_codec_is_trained_by_additions_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    small_thresholds(monkeypatch)
    vectors = arrays(600)
    with Index.create(tmp_path / "i", dim=DIM, nbits=4) as index:
        for part in np.array_split(np.arange(600), calls):
            index.add_vectors([f"d{i}" for i in part], [vectors[i] for i in part])
        facts = index.info()
        assert facts["coded_segments"] == facts["segments"] >= 1
        assert 2048 <= facts["codec"]["trained_on_tokens"] <= 2400
        found = [index.search_vectors(vectors[i], k=1)[0].id for i in range(0, 600, 50)]
        assert found == [f"d{i}" for i in range(0, 600, 50)]
        assert index.verify() == []


def test_the_same_calls_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_thresholds(monkeypatch)
    vectors = arrays(700)
    for name in ("a", "b"):
        with Index.create(tmp_path / name, dim=DIM) as index:
            for part in np.array_split(np.arange(700), 9):
                index.add_vectors([f"d{i}" for i in part], [vectors[i] for i in part])
            index.delete([f"d{i}" for i in range(0, 700, 3)])
            index.add_vectors(["last"], vectors[:1])
    files = {path.name for path in (tmp_path / "a" / "segments").iterdir()}
    assert files == {path.name for path in (tmp_path / "b" / "segments").iterdir()}
    for name in files:
        assert (tmp_path / "a" / "segments" / name).read_bytes() == (tmp_path / "b" / "segments" / name).read_bytes()


def test_growth_trains_a_new_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_thresholds(monkeypatch)
    vectors = arrays(600)
    with Index.create(tmp_path / "i", dim=DIM, nbits=8) as index:
        index.add_vectors([f"d{i}" for i in range(20)], vectors[:20])
        index.compact()
        assert index.info()["codec"]["trained_on_tokens"] == 80
        index.add_vectors([f"d{i}" for i in range(20, 600)], vectors[20:])
        assert index.info()["codec"]["trained_on_tokens"] == 2400
        assert index.search_vectors(vectors[3], k=1)[0].id == "d3"
        assert index.verify() == []


def test_a_segment_that_dies_is_written_anew(tmp_path: Path) -> None:
    vectors = arrays(300)
    with Index.create(tmp_path / "i", dim=DIM, nbits=16) as index:
        index.add_vectors([f"d{i}" for i in range(200)], vectors[:200])
        index.delete([f"d{i}" for i in range(150)])
        assert index.info()["deleted_rows"] == 150
        index.add_vectors(["x"], vectors[200:201])
        assert index.info()["deleted_rows"] == 0
        assert len(index) == 51


def test_a_full_disk_while_putting_in_order_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    small_thresholds(monkeypatch)
    vectors = arrays(600)
    with Index.create(tmp_path / "i", dim=DIM) as index:
        with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, logger="polyvec"):

            def full(*arguments: Any) -> Any:
                raise OSError(errno.ENOSPC, "No space left on device")

            patched.setattr("polyvec.index.codec.codec.Codec.save", full)
            assert index.add_vectors([f"d{i}" for i in range(600)], vectors).added == 600
        assert "could not be put in order" in caplog.text
        assert index.info()["codec"] is None
        assert index.search_vectors(vectors[5], k=1)[0].id == "d5"
        index.add_vectors(["more"], vectors[:1])
        assert index.info()["codec"]["trained_on_tokens"] == 2404
        assert index.verify() == []
