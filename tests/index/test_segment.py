"""Segment files: what was written is read; what was damaged anywhere is noticed, never believed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.format import FORMAT_VERSION, PAGE, BlockWriter
from polyvec.index.segment import Segment, SegmentWriter, top_k
from polyvec.scoring import maxsim_definition

GOLDEN = Path(__file__).parent / "golden"
DIM = 6


def documents() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    doclens = np.array([3, 1, 7, 2], np.int64)
    return (
        rng.standard_normal((13, DIM)).astype(np.float16).astype(np.float32),
        doclens,
        np.arange(13, dtype=np.int32) * 7,
    )


def write(path: Path) -> Path:
    vectors, doclens, token_ids = documents()
    writer = SegmentWriter(path, DIM)
    writer.append(vectors[:4], doclens[:2], token_ids[:4])
    writer.append(vectors[4:], doclens[2:], token_ids[4:])
    info = writer.finish()
    assert (info.n_documents, info.n_tokens, info.size_bytes) == (4, 13, path.stat().st_size)
    return path


def check(segment: Segment) -> None:
    vectors, doclens, token_ids = documents()
    starts = np.concatenate([[0], np.cumsum(doclens)])
    query = np.random.default_rng(3).standard_normal((5, DIM)).astype(np.float32)
    expected = np.array([maxsim_definition(query, vectors[a:b]) for a, b in pairwise(starts)])
    assert segment.score(query, None, 1) == pytest.approx(expected, abs=1e-4)
    some = np.array([0, 2])
    assert segment.score(query, some, 1) == pytest.approx(expected[some], abs=1e-4)
    assert np.array_equal(segment.decode(2), vectors[4:11])
    assert np.array_equal(segment.token_ids(2), token_ids[4:11])
    assert segment.doclens.tolist() == doclens.tolist()
    assert segment.verify() == []


def test_round_trip(tmp_path: Path) -> None:
    check(Segment(write(tmp_path / "a.seg"), DIM))


def test_the_golden_file_of_version_1_is_read_for_ever() -> None:
    check(Segment(GOLDEN / "v1-plain.seg", DIM))


def test_version_1_is_still_written_the_same(tmp_path: Path) -> None:
    assert write(tmp_path / "a.seg").read_bytes() == (GOLDEN / "v1-plain.seg").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("segment") / "a.seg").read_bytes()


def believed(path: Path, data: bytes) -> bool:
    """Whether a file passes opening and verify."""
    path.write_bytes(data)
    try:
        return Segment(path, DIM).verify() == []
    except StorageError as error:
        return str(path) not in str(error)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_noticed(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    used = [range(PAGE), *(range(at, at + size) for at, size in blocks(whole))]
    place = data.draw(st.sampled_from(used).flatmap(st.sampled_from))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not believed(tmp_path / "b.seg", bytes(changed))


def blocks(whole: bytes) -> list[tuple[int, int]]:
    count = int.from_bytes(whole[12:16], "little")
    entries = [whole[64 + 64 * i : 128 + 64 * i] for i in range(count)]
    return [(int.from_bytes(e[24:32], "little"), int.from_bytes(e[48:56], "little")) for e in entries]


def test_any_truncation_is_noticed(tmp_path: Path, whole: bytes) -> None:
    for length in [0, 1, 63, PAGE - 1, PAGE, *range(PAGE, len(whole), 17), len(whole) - 1]:
        assert not believed(tmp_path / "b.seg", whole[:length]), length
    assert not believed(tmp_path / "b.seg", whole + b"\0")
    assert believed(tmp_path / "b.seg", whole)


def test_other_files_and_newer_versions_are_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "b.seg"
    path.write_bytes(b"SQLite format 3\0" + whole[16:])
    with pytest.raises(IndexCorruptError, match="not a polyvec file"):
        Segment(path, DIM)
    path.write_bytes(whole[:8] + (FORMAT_VERSION + 1).to_bytes(4, "little") + whole[12:])
    with pytest.raises(StorageError, match="newer polyvec"):
        Segment(path, DIM)
    path.write_bytes(whole)
    with pytest.raises(IndexCorruptError, match="'vectors' is missing or not what it should be"):
        Segment(path, DIM + 1)


def test_abort_leaves_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", DIM)
    writer.append(np.ones((2, DIM), np.float32), np.array([2]))
    writer.abort()
    writer.abort()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="Cannot write"):
        BlockWriter(tmp_path / "nowhere" / "a.seg")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.seg", DIM)
    with pytest.raises(ValueError, match="doclens add up to 3"):
        writer.append(np.ones((2, DIM), np.float32), np.array([3]))
    with pytest.raises(ValueError, match="do not fit"):
        writer.append(np.ones((2, DIM + 1), np.float32), np.array([2]))
    writer.abort()


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 40))
def test_top_k_is_a_stable_sort(values: list[int], k: int) -> None:
    scores = np.array(values, np.float32)
    assert top_k(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()
