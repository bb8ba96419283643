"""A codec that no longer fits what comes in is noticed, and training it anew repairs it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import polyvec
from polyvec.index.catalog.settings import CodecRecord
from polyvec.index.upkeep.drift import drift_of, with_added

DIM = 32


def documents(rng: np.random.Generator, count: int, centers: np.ndarray) -> list[np.ndarray]:
    made = []
    for _ in range(count):
        rows = centers[rng.integers(0, len(centers), 24)] + 0.15 * rng.standard_normal((24, DIM))
        made.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return made


def test_drift_grows_with_strangers_and_retraining_repairs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    known, strange = rng.standard_normal((40, DIM)), rng.standard_normal((40, DIM))
    with polyvec.Index.create(tmp_path / "i", dim=DIM, nbits=2) as index:
        index.add_vectors([f"a{i}" for i in range(300)], documents(rng, 300, known))
        assert index.info()["codec"] is None
        index.compact()
        assert index.info()["codec"]["drift"] == 1.0
        index.add_vectors([f"b{i}" for i in range(100)], documents(rng, 100, known))
        assert index.info()["codec"]["drift"] == pytest.approx(1.0, abs=0.2)
        with caplog.at_level(logging.WARNING, logger="polyvec"):
            index.add_vectors([f"c{i}" for i in range(300)], documents(rng, 300, strange))
        assert index.info()["codec"]["drift"] > 1.25
        assert "compact --retrain" in caplog.text
        error = index.info()["codec"]["error"]
        index.compact(retrain=True)
        assert index.info()["codec"]["drift"] == 1.0
        assert index.info()["codec"]["error"] < 1.6 * error
        assert index.info()["codec"]["trained_on_tokens"] == 700 * 24
        assert index.verify() == []


def test_the_same_kind_of_documents_is_no_drift_even_where_centroids_are_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((400, 40, 16), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    with polyvec.Index.create(tmp_path / "i", dim=16, nbits=1) as index:
        index.add_vectors([f"a{i}" for i in range(200)], rows[:200])
        index.compact()
        index.add_vectors([f"b{i}" for i in range(200)], rows[200:])
        assert index.info()["codec"]["centroids"] > 300
        assert index.info()["codec"]["drift"] == pytest.approx(1.0, abs=0.05)


def test_additions_are_averaged_by_their_tokens() -> None:
    listed = CodecRecord(file="c", checksum="0", size_bytes=1, error=0.1, tokens=10)
    once = with_added(listed, np.array([0.1 * 10, 10]))
    twice = with_added(once, np.array([0.4 * 30, 30]))
    assert drift_of(listed) == 1
    assert drift_of(once) == pytest.approx(1)
    assert drift_of(twice) == pytest.approx((0.1 * 10 + 0.4 * 30) / 40 / 0.1, abs=0.01)


def test_a_codec_trained_on_what_was_in_codes_does_not_take_new_vectors_for_strange(tmp_path: Path) -> None:
    def some(seed: int) -> list[np.ndarray]:
        rows = np.random.default_rng(seed).standard_normal((60, 5, 8)).astype(np.float32)
        return list(rows / np.linalg.norm(rows, axis=2, keepdims=True))

    with polyvec.Index.create(tmp_path / "i", dim=8, nbits=8) as index:
        index.add_vectors([f"a{i}" for i in range(60)], some(1))
        index.compact()
        index.compact(retrain=True)
        index.add_vectors([f"b{i}" for i in range(60)], some(2))
        codec = index.info()["codec"]
        assert codec["error"] > 0
        assert codec["drift"] < 1.5
