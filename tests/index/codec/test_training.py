"""Training: the same sample and seed give the same file, whatever the number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyvec.index.codec.codec import CODED_NBITS, Codec
from polyvec.index.codec.training import coding_error, train_codec


def sample(tokens: int, dim: int) -> np.ndarray:
    rows = np.random.default_rng(7).standard_normal((tokens, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_the_same_sample_and_seed_give_the_same_file(nbits: int, tmp_path: Path) -> None:
    for name, threads in (("a", 1), ("b", 3)):
        codec, error = train_codec(sample(900, 20), nbits=nbits, total_tokens=3000, threads=threads)
        codec.save(tmp_path / name)
        assert error == pytest.approx(coding_error(codec, sample(900, 20), 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other, _ = train_codec(sample(900, 20), nbits=nbits, total_tokens=3000, seed=2, threads=1)
    other.save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
    assert Codec.load(tmp_path / "a").nbits == nbits


def test_more_bits_lose_less() -> None:
    errors = [train_codec(sample(900, 32), nbits=nbits, total_tokens=900, threads=1)[1] for nbits in CODED_NBITS]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("tokens", [1, 2, 7])
@pytest.mark.parametrize("nbits", CODED_NBITS)
def test_a_few_tokens_are_enough(nbits: int, tokens: int) -> None:
    codec, error = train_codec(sample(tokens, 5), nbits=nbits, total_tokens=tokens, threads=1)
    assert np.isfinite(error)
    again = codec.decode(codec.encode(sample(tokens, 5), threads=1))
    assert (again * sample(tokens, 5)).sum(axis=1).min() > 0.5
