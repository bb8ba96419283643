"""Hashed bigrams: equal to a definition in plain integers, in every way of loading, batching and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder

from polyvec.encoder import Encoder
from polyvec.encoder.torch.bigrams import HashedBigrams
from polyvec.encoder.torch.settings import bigrams_of
from polyvec.errors import InputError
from tests.encoder.toy_checkpoints import make_jina, make_plain

ALL = (1 << 64) - 1
TEXTS = ["hello world, what is light?", "plants turn light into sugar. " * 6, "answer"]


def splitmix(state: int) -> int:
    """One output of SplitMix64, as its authors publish it, from a state that is already advanced."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & ALL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL
    return z ^ (z >> 31)


def signs(ids: list[int], special: set[int], dim: int) -> np.ndarray:
    """What every token gets, bit by bit."""
    rows = np.zeros((len(ids), dim), np.float32)
    for i, token in enumerate(ids):
        if token in special:
            continue
        before = ids[i - 1] if i and ids[i - 1] not in special else -1
        word = ((before << 32) ^ token) & ALL
        for place in range(dim):
            state = ((word + place // 64) * 0x9E3779B97F4A7C15 + 0x1E3779B97F4A7C15) & ALL
            rows[i, place] = (1 if splitmix(state) >> place % 64 & 1 else -1) / dim**0.5
    return rows


@pytest.mark.parametrize("dim", [1, 32, 64, 96, 128, 200])
def test_signs_are_their_definition(dim: int) -> None:
    generator = np.random.default_rng(dim)
    ids = [0, *generator.integers(3, 250_000, 20).tolist(), 2, 0, 7, 7, 7, 2, 1, 1]
    found = HashedBigrams(0.5, [0, 1, 2]).signs(torch.tensor(ids), dim)
    np.testing.assert_allclose(found.numpy(), signs(ids, {0, 1, 2}, dim), rtol=1e-6)


def test_different_bigrams_are_nearly_orthogonal() -> None:
    ids = torch.arange(10, 2010)
    rows = HashedBigrams(1.0, [0]).signs(ids, 128)
    products = (rows @ rows.T).fill_diagonal_(0)
    assert abs(float(products.mean())) < 1e-3
    assert float(products.std()) == pytest.approx(128**-0.5, rel=0.02)


def test_vectors_are_the_plain_ones_and_the_bigrams(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    plain, encoder = Encoder(tmp_path / "m"), Encoder(tmp_path / "m", bigrams=0.65)
    special = set(bigrams_of(encoder.model).special_ids)
    pieces = plain._tokens.documents(TEXTS)
    for (piece,), before, after in zip(
        pieces, plain.encode_document(TEXTS), encoder.encode_document(TEXTS), strict=True
    ):
        wanted = before + 0.65 * signs(piece.ids.tolist(), special, plain.dim)[piece.keep]
        np.testing.assert_allclose(after, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def test_neighbors_in_a_batch_and_padding_do_not_matter() -> None:
    encoder = Encoder(bigrams=0.65, backend="torch")
    together = encoder.encode_document(TEXTS)
    for text, vectors in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(encoder.encode_document(text), vectors, atol=1e-5)
    with torch.inference_mode():
        padded = encoder._forward._padded([pieces[0] for pieces in encoder._tokens.documents(TEXTS)])
    for (piece,), rows, vectors in zip(encoder._tokens.documents(TEXTS), padded, together, strict=True):
        np.testing.assert_allclose(rows[piece.keep], vectors, atol=1e-5)


def test_saved_loaded_by_stock_and_taken_out_again(tmp_path: Path) -> None:
    make_plain(tmp_path / "m")
    plain, encoder = Encoder(tmp_path / "m"), Encoder(tmp_path / "m", bigrams=0.65)
    assert plain.fingerprint != encoder.fingerprint != Encoder(tmp_path / "m", bigrams=0.5).fingerprint
    assert Encoder(**encoder.settings()).fingerprint == encoder.fingerprint
    encoder.save(tmp_path / "saved")
    stock = MultiVectorEncoder(str(tmp_path / "saved"), device="cpu", local_files_only=True, trust_remote_code=True)
    for other in (Encoder(tmp_path / "saved"), stock):
        for mine, theirs in zip(encoder.encode_document(TEXTS), other.encode_document(TEXTS), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
    without = Encoder(tmp_path / "saved", bigrams=0)
    assert bigrams_of(without.model) is None
    for mine, theirs in zip(without.encode_query(TEXTS), plain.encode_query(TEXTS), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_markers_count_as_special(tmp_path: Path) -> None:
    """The first word of a question and of a document are the same bigram, though different markers stand before them."""
    make_jina(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", bigrams=0.65, backend="torch")
    special = set(bigrams_of(encoder.model).special_ids)
    markers = encoder.model.tokenizer.convert_tokens_to_ids(["[QueryMarker]", "[DocumentMarker]"])
    assert special >= {*markers, *encoder.model.tokenizer.all_special_ids}


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(InputError, match="expected a weight such as"):
        Encoder(bigrams=weight)
    with pytest.raises(ValueError, match="expected a positive number"):
        HashedBigrams(weight, [0])


def test_a_size_may_have_a_weight_of_its_own(tmp_path: Path) -> None:
    one = HashedBigrams(0.5, [0], {"64": 0.2})
    vectors, ids = torch.nn.functional.normalize(torch.randn(1, 4, 64), dim=-1), torch.tensor([[0, 5, 6, 7]])
    torch.testing.assert_close(one.added(vectors, ids), HashedBigrams(0.2, [0]).added(vectors, ids))
    wide = torch.randn(1, 4, 128)
    torch.testing.assert_close(one.added(wide, ids), HashedBigrams(0.5, [0]).added(wide, ids))
    one.save(str(tmp_path))
    again = HashedBigrams.load(str(tmp_path))
    assert again.get_config_dict() == one.get_config_dict()
    assert again.in_vectors(64) == HashedBigrams(0.2, [0]).in_vectors(64)
    with pytest.raises(ValueError, match="expected a positive number"):
        HashedBigrams(0.5, [0], {"64": 0.0})


def test_the_default_model_has_another_weight_at_64_dimensions() -> None:
    weights = [bigrams_of(Encoder(dim=dim).model).weight_of(dim) for dim in (128, 64)]
    assert weights == [0.3, 0.2]
