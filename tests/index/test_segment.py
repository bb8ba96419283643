"""Segment files: what was written is read; what was damaged anywhere is noticed, never believed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.format import PAGE, BlockWriter
from polyvec.index.segment import VectorsSegment, VectorsWriter, top_k
from polyvec.scoring import maxsim_definition
from tests.index import golden_files
from tests.index.files import blocks_of
from tests.index.golden_files import GOLDEN

DIM = 6


def documents() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    doclens = np.array([3, 1, 7, 2], np.int64)
    return rng.standard_normal((13, DIM)).astype(np.float16).astype(np.float32), doclens


def write(path: Path) -> Path:
    vectors, doclens = documents()
    writer = VectorsWriter(path, DIM)
    writer.append(vectors[:4], doclens[:2])
    writer.append(vectors[4:], doclens[2:])
    info = writer.finish()
    assert (info.n_documents, info.n_tokens, info.size_bytes) == (4, 13, path.stat().st_size)
    return path


def check(segment: VectorsSegment) -> None:
    vectors, doclens = documents()
    starts = np.concatenate([[0], np.cumsum(doclens)])
    query = np.random.default_rng(3).standard_normal((5, DIM)).astype(np.float32)
    expected = np.array([maxsim_definition(query, vectors[a:b]) for a, b in pairwise(starts)])
    assert segment.score(query, None, 1) == pytest.approx(expected, abs=1e-4)
    some = np.array([0, 2])
    assert segment.score(query, some, 1) == pytest.approx(expected[some], abs=1e-4)
    assert np.array_equal(segment.decode(2), vectors[4:11])
    assert segment.doclens.tolist() == doclens.tolist()
    assert segment.verify() == []


def test_round_trip(tmp_path: Path) -> None:
    check(VectorsSegment(write(tmp_path / "a.seg"), DIM))


def test_the_golden_file_is_read_for_ever() -> None:
    segment = VectorsSegment(GOLDEN / "v1.seg", golden_files.DIM)
    recorded = json.loads((GOLDEN / "v1.json").read_text(encoding="utf-8"))["vectors"]
    assert segment.score(golden_files.query(), None, 2) == pytest.approx(np.array(recorded), abs=1e-5)
    decoded = np.concatenate([segment.decode(i) for i in range(segment.n_documents)])
    assert np.array_equal(decoded, golden_files.documents().astype(np.float16).astype(np.float32))
    assert segment.doclens.tolist() == golden_files.DOCLENS.tolist()
    assert not segment.generates_candidates
    assert segment.verify() == []


def test_the_same_documents_give_the_same_file(tmp_path: Path) -> None:
    golden_files.write_vectors(tmp_path / "a.seg")
    assert (tmp_path / "a.seg").read_bytes() == (GOLDEN / "v1.seg").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("segment") / "a.seg").read_bytes()


def believed(path: Path, data: bytes) -> bool:
    """Whether a file passes opening and verify."""
    path.write_bytes(data)
    try:
        return VectorsSegment(path, DIM).verify() == []
    except StorageError as error:
        return str(path) not in str(error)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_noticed(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    (tmp_path / "whole.seg").write_bytes(whole)
    blocks = blocks_of(tmp_path / "whole.seg").values()
    used = [range(PAGE), *(range(block.offset, block.offset + block.size) for block in blocks)]
    place = data.draw(st.sampled_from(used).flatmap(st.sampled_from))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert not believed(tmp_path / "b.seg", bytes(changed))


def test_any_truncation_is_noticed(tmp_path: Path, whole: bytes) -> None:
    for length in [0, 1, 63, PAGE - 1, PAGE, *range(PAGE, len(whole), 17), len(whole) - 1]:
        assert not believed(tmp_path / "b.seg", whole[:length]), length
    assert not believed(tmp_path / "b.seg", whole + b"\0")
    assert believed(tmp_path / "b.seg", whole)


def test_vectors_of_another_dim_are_refused(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "b.seg").write_bytes(whole)
    with pytest.raises(IndexCorruptError, match="'vectors' is missing or not what it should be"):
        VectorsSegment(tmp_path / "b.seg", DIM + 1)


def test_abort_leaves_nothing(tmp_path: Path) -> None:
    writer = VectorsWriter(tmp_path / "a.seg", DIM)
    writer.append(np.ones((2, DIM), np.float32), np.array([2]))
    writer.abort()
    writer.abort()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="Cannot write"):
        BlockWriter(tmp_path / "nowhere" / "a.seg", "vectors")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    writer = VectorsWriter(tmp_path / "a.seg", DIM)
    with pytest.raises(ValueError, match="doclens add up to 3"):
        writer.append(np.ones((2, DIM), np.float32), np.array([3]))
    with pytest.raises(ValueError, match="do not fit"):
        writer.append(np.ones((2, DIM + 1), np.float32), np.array([2]))
    writer.abort()


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 40))
def test_top_k_is_a_stable_sort(values: list[int], k: int) -> None:
    scores = np.array(values, np.float32)
    assert top_k(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


@pytest.mark.parametrize("count", [1023, 1024, 1025, 5000])
def test_top_k_of_many_scores_keeps_ties_in_order(count: int) -> None:
    scores = np.random.default_rng(count).integers(0, 40, count).astype(np.float32)
    for k in (1, 10, count - 1, count, count + 5):
        assert top_k(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()
