"""Token pooling in NumPy: the clusters, vectors and fingerprint of sentence-transformers' module, whatever runs the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

from polyvec.encoder import Encoder
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.native.encoder import NativeEncoder
from polyvec.encoder.pooling import TokenPooling, cluster, pool
from polyvec.errors import ModelError
from tests.encoder.toy_checkpoints import make_jina

LONG = "Plants turn light into sugar, and we eat it: hello world! What is one answer worth, 光合作用? 12 of 345."


def unit_rows(seed: int, rows: int, dim: int, equal: int) -> np.ndarray:
    """Random unit rows, some of them equal."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, dim)).astype(np.float32)
    found[rng.integers(0, rows, equal)] = found[0]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


ROWS = st.builds(unit_rows, st.integers(0, 9999), st.integers(1, 60), st.integers(2, 24), st.integers(0, 20))


@settings(max_examples=150, deadline=None)
@given(rows=ROWS.filter(lambda rows: len(rows) > 1), data=st.data())
def test_clusters_are_those_of_scipy(rows: np.ndarray, data: st.DataObject) -> None:
    clusters = data.draw(st.integers(1, len(rows) - 1))
    distances = np.clip(1 - rows @ rows.T, 0, 2)
    expected = fcluster(linkage(squareform(distances, checks=False), "ward"), t=clusters, criterion="maxclust") - 1
    np.testing.assert_array_equal(cluster(rows, clusters), expected)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, factor=st.floats(1, 6), protected=st.integers(0, 4), normalize=st.booleans())
def test_rows_are_those_of_sentence_transformers(
    rows: np.ndarray, factor: float, protected: int, normalize: bool
) -> None:
    module = HierarchicalTokenPooling(factor, num_protected_tokens=protected, normalize_embeddings=normalize)
    (expected,) = module.pool([torch.from_numpy(rows)])
    mine = TokenPooling(factor, protected, normalize)
    np.testing.assert_allclose(mine.pooled(rows), expected.numpy(), atol=1e-6)
    assert mine.settings() == module.get_config_dict()


def test_only_texts_of_its_tasks_are_merged() -> None:
    encoded = Encoded(unit_rows(1, 9, 4, 0), np.arange(9, dtype=np.int32), np.zeros((9, 2), np.int32), True)
    assert pool(encoded, "query", [TokenPooling(3.0)]) is encoded
    merged = pool(encoded, "document", [TokenPooling(3.0)])
    assert merged.vectors.shape == (3, 4)
    assert merged.offsets is None
    assert merged.truncated
    assert merged.token_ids.tolist() == [-1] * 3


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_native_and_torch_merge_alike(tmp_path: Path, factor: float) -> None:
    make_jina(tmp_path / "m")
    mine = NativeEncoder(tmp_path / "m", pool_factor=factor, precision="fp32")
    stock = Encoder(tmp_path / "m", pool_factor=factor, backend="torch")
    assert mine.fingerprint == stock.fingerprint != NativeEncoder(tmp_path / "m").fingerprint
    for text in (LONG, "answer"):
        (one,), (other,) = mine.stream_documents([text]), stock.stream_documents([text])
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-4)
        np.testing.assert_allclose(mine.encode_query(text), stock.encode_query(text), atol=1e-4)
    assert mine.document_tokens(LONG) is None
    assert len(mine.encode_document(LONG)) < len(NativeEncoder(tmp_path / "m").encode_document(LONG)) / factor + 2


def test_a_saved_pooling_needs_no_torch(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    Encoder(tmp_path / "m", pool_factor=2.0).save(tmp_path / "saved")
    again = Encoder(tmp_path / "saved", backend="native")
    expected = Encoder(tmp_path / "saved", backend="torch")
    assert again.fingerprint == expected.fingerprint
    np.testing.assert_allclose(again.encode_document(LONG), expected.encode_document(LONG), atol=1e-4)
    (config,) = (path for path in (tmp_path / "saved").rglob("config.json") if "pool_factor" in path.read_text())
    config.write_text(json.dumps({**json.loads(config.read_text()), "pool_factor": "x"}))
    with pytest.raises(ModelError, match="pool_factor='x'"):
        NativeEncoder(tmp_path / "saved")
