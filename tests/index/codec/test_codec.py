"""Codecs of format version 1 are read for ever: what they decode and encode stays what it was, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polyvec.errors import IndexCorruptError, StorageError
from polyvec.index.codec.codec import CODED_NBITS, Codec
from polyvec.index.kernels import MAX_DIM, padded_dim
from tests.index.golden_files import DIM, GOLDEN, documents


@pytest.fixture(params=CODED_NBITS)
def path(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / f"v1-{request.param}.codec"


def test_a_codec_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    codec = Codec.load(path)
    size, _ = codec.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert size == path.stat().st_size
    assert codec.dim == DIM


def test_coding_what_was_decoded_changes_little(path: Path) -> None:
    codec = Codec.load(path)
    vectors = codec.decode(codec.encode(documents(), threads=1))
    again = codec.decode(codec.encode(vectors, threads=3))
    assert (again * vectors).sum(axis=1).mean() > {1: 0.75, 2: 0.9, 4: 0.99, 8: 0.999}[codec.nbits]


def test_no_vectors_are_no_codes(path: Path) -> None:
    codec = Codec.load(path)
    codes = codec.encode(np.empty((0, DIM), np.float32), threads=1)
    assert (codes.centroids.shape, codes.scales.shape) == ((0,), (0,))
    assert codec.decode(codes).shape == (0, DIM)


def test_any_truncation_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for length in range(1, len(whole), 211):
        (tmp_path / "a").write_bytes(whole[:length])
        with pytest.raises(StorageError):
            Codec.load(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        {"signs": np.zeros((3, DIM), np.int8)},
        {"signs": np.ones((2, DIM), np.int8)},
        {"unit": float("nan")},
        {"unit": 0.0},
        {"cell_members": np.zeros(20, np.int32)},
        {"cell_offsets": np.array([0, 1])},
        {"coarse_offsets": np.array([0, 0])},
        {"cells": np.full((1, DIM), np.inf, np.float32)},
        {"steps": np.ones(255, np.float32)},
        {"codebook": np.ones(4, np.float32)},
        {"nbits": 3},
        {"dim": DIM + 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    replace(Codec.load(GOLDEN / "v1-4.codec"), **change).save(tmp_path / "a")  # type: ignore[arg-type]
    with pytest.raises(IndexCorruptError, match="is damaged"):
        Codec.load(tmp_path / "a")


@pytest.mark.parametrize(("dim", "fits"), [(MAX_DIM, True), (MAX_DIM + 1, False)])
def test_a_codec_of_more_dimensions_than_sums_can_have_is_refused(dim: int, fits: bool, tmp_path: Path) -> None:
    p, one = padded_dim(dim), np.array([0, 1])
    codec = Codec(
        dim=dim, nbits=8, signs=np.ones((3, dim), np.int8), unit=1 / 127, centroids=np.ones((1, p), np.int8),
        coarse_centroids=np.ones((1, p), np.int8), coarse_offsets=one, cells=np.zeros((1, dim), np.float32),
        cell_offsets=one, cell_members=np.zeros(1, np.int32), steps=np.ones(256, np.float32),
        codebook=np.zeros(0, np.float32),
    )  # fmt: skip
    codec.save(tmp_path / "a")
    if fits:
        assert Codec.load(tmp_path / "a").dim == dim
        return
    with pytest.raises(IndexCorruptError, match="dim=65537, nbits=8, expected 1 to 65,536 dimensions"):
        Codec.load(tmp_path / "a")
