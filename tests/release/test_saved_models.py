"""Saved models of earlier versions load, and make the vectors that were recorded then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from polyvec import Encoder
from tests.release.saved_models import DOCUMENTS, GOLDEN, QUERIES


def recorded() -> tuple[dict[str, np.ndarray], dict[str, object]]:
    with np.load(GOLDEN.parent / f"{GOLDEN.name}-vectors.npz") as arrays:
        vectors = {name: arrays[name] for name in arrays.files}
    return vectors, json.loads((GOLDEN.parent / f"{GOLDEN.name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_saved_model_makes_the_vectors_of_its_day(backend: str) -> None:
    if backend == "torch":
        pytest.importorskip("sentence_transformers", reason="the extra `torch` is not installed")
    vectors, facts = recorded()
    encoder = Encoder(str(GOLDEN), backend=backend, device="cpu")
    assert {name: getattr(encoder, name) for name in facts} == facts
    made = {f"query-{i}": one for i, one in enumerate(encoder.encode_query(QUERIES))}
    made |= {f"document-{i}": one for i, one in enumerate(encoder.encode_document(DOCUMENTS))}
    assert made.keys() == vectors.keys()
    for name, expected in vectors.items():
        np.testing.assert_allclose(made[name], expected, atol=1e-5, err_msg=name)


def test_a_model_with_other_weights_is_another_model(tmp_path: Path) -> None:
    """What the fingerprint is for: the recorded one stands for these weights only."""
    folder = tmp_path / "model"
    shutil.copytree(GOLDEN, folder)
    weights = folder / "1_Dense" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    assert Encoder(str(folder), backend="native").fingerprint != recorded()[1]["fingerprint"]
