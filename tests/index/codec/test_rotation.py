"""The rotation keeps dot products, and its signs are those that a codec's file has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.index.codec.codec import Codec
from polyvec.index.codec.rotation import Rotation, drawn_signs
from polyvec.index.codec.training import TRAINING_SEED
from tests.index.golden_files import DIM, GOLDEN


@given(st.integers(1, 140), st.integers(0, 1 << 30))
def test_dot_products_stay_and_it_can_be_undone(dim: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((5, dim)).astype(np.float32)
    rotation = Rotation(drawn_signs(dim, seed))
    turned = rotation.apply(rows)
    assert turned @ turned.T == pytest.approx(rows @ rows.T, abs=1e-3)
    assert rotation.undo(turned) == pytest.approx(rows, abs=1e-4)


def test_repair_can_draw_the_signs_of_a_trained_codec_again() -> None:
    assert np.array_equal(Codec.load(GOLDEN / "v1-4.codec").signs, drawn_signs(DIM, TRAINING_SEED))
