"""Jina-ColBERT-v2's published layout: every key, every setting, and numbers that agree with an independent forward
pass."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from polyvec.encoder import Encoder
from polyvec.errors import InputError, ModelError
from tests.encoder.numpy_forward import token_vectors
from tests.encoder.toy_checkpoints import make_jina


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("jina") / "jina-colbert-v2"
    return folder, make_jina(folder)


@pytest.fixture(scope="module")
def encoder(published: tuple[Path, dict[str, np.ndarray]]) -> Encoder:
    return Encoder(published[0])


def test_documents_agree_with_the_numpy_forward_pass(
    encoder: Encoder, published: tuple[Path, dict[str, np.ndarray]]
) -> None:
    keeps_all = Encoder(published[0], skiplist="none")
    for text in ("hello world", "what is photosynthesis", "光合作用 hello, " * 20):
        (encoded,) = keeps_all.stream_documents([text])
        assert encoded.token_ids[1] == encoder.model.tokenizer.convert_tokens_to_ids("[DocumentMarker]")
        expected = token_vectors(published[1], encoded.token_ids.tolist(), heads=4, rotary_base=5000.0)
        np.testing.assert_allclose(encoded.vectors, expected, atol=1e-4)


def test_queries_agree_and_attend_to_their_mask_tokens(
    encoder: Encoder, published: tuple[Path, dict[str, np.ndarray]]
) -> None:
    (encoded,) = encoder.stream_queries(["hello world"])
    tokenizer = encoder.model.tokenizer
    assert len(encoded.vectors) == 32
    assert encoded.token_ids[1] == tokenizer.convert_tokens_to_ids("[QueryMarker]")
    assert encoded.token_ids[5:].tolist() == [tokenizer.mask_token_id] * 27
    expected = token_vectors(published[1], encoded.token_ids.tolist(), heads=4, rotary_base=5000.0)
    np.testing.assert_allclose(encoded.vectors, expected, atol=1e-4)


def test_hello_world_is_five_vectors(encoder: Encoder) -> None:
    assert encoder.encode_document("hello world").shape == (5, 16)
    (encoded,) = encoder.stream_documents(["hello world"])
    assert encoded.offsets is not None
    assert encoded.offsets.tolist() == [[0, 0], [0, 0], [0, 5], [6, 11], [0, 0]]


def test_settings_come_from_the_metadata(encoder: Encoder) -> None:
    assert (encoder.document_length, encoder.query_length, encoder.dim) == (300, 32, 16)
    assert encoder.layout.attend_to_mask
    tokenizer = encoder.model.tokenizer
    assert tokenizer.unk_token_id not in encoder.layout.document_skip
    assert tokenizer.convert_tokens_to_ids("▁,") in encoder.layout.document_skip


def test_long_queries_are_encoded_whole(encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        assert len(encoder.encode_query("hello " * 99 + "world")) == 103
    assert not caplog.records


def test_one_batch_or_many_gives_the_same(encoder: Encoder) -> None:
    texts = [f"{'hello ' * n}world" for n in (1, 9, 2, 30, 2, 1, 9)]
    for together, text in zip(encoder.encode_document(texts), texts, strict=True):
        np.testing.assert_allclose(together, encoder.encode_document(text), atol=1e-5)


def test_pytorch_bin_loads_too(tmp_path: Path, encoder: Encoder) -> None:
    make_jina(tmp_path / "bin", as_bin=True)
    np.testing.assert_allclose(
        Encoder(tmp_path / "bin").encode_query("hello"), encoder.encode_query("hello"), atol=1e-6
    )


def test_heads_are_chosen_by_size(tmp_path: Path) -> None:
    weights = make_jina(tmp_path / "m", heads=(16, 12, 8))
    for size, name in ((16, "linear.weight"), (12, "linear_12.weight"), (8, "linear_8.weight")):
        (encoded,) = Encoder(tmp_path / "m", dim=size).stream_documents(["hello world"])
        expected = token_vectors(weights, encoded.token_ids.tolist(), heads=4, rotary_base=5000.0, head=name)
        np.testing.assert_allclose(encoded.vectors, expected, atol=1e-4)
    with pytest.raises(InputError, match="8 or 12 or 16"):
        Encoder(tmp_path / "m", dim=4)
    with pytest.raises(InputError, match="8 or 12 or 16"):
        Encoder(tmp_path / "m", dim=32, truncate=True)


def test_truncation_happens_only_when_told_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_jina(tmp_path / "m")
    with pytest.raises(InputError, match="truncate=True"):
        Encoder(tmp_path / "m", dim=6)
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        cut = Encoder(tmp_path / "m", dim=6, truncate=True)
    assert "first 6" in caplog.text
    whole = Encoder(tmp_path / "m").encode_document("hello world")[:, :6]
    np.testing.assert_allclose(
        cut.encode_document("hello world"), whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5
    )


def test_the_rotary_base_is_read_and_its_absence_is_told(tmp_path: Path) -> None:
    make_jina(tmp_path / "a", rotary_emb_base=None)
    make_jina(tmp_path / "b", rotary_emb_base=10000.0)
    make_jina(tmp_path / "c", rotary_emb_base=20000.0)
    a, b, c = (Encoder(tmp_path / name) for name in "abc")
    text = "hello world what is light " * 10
    np.testing.assert_array_equal(a.encode_document(text), b.encode_document(text))
    assert np.abs(b.encode_document(text) - c.encode_document(text)).max() > 1e-3
    assert any("rotary_emb_base" in note for note in a.loaded.unusual)
    assert not b.loaded.unusual


def edit(folder: Path, change: object) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)  # type: ignore[operator]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("linear.weight"), "linear.weight"),
        (lambda s: s.pop("roberta.encoder.layers.1.mixer.Wqkv.bias"), "encoder.layers.1.mixer.Wqkv.bias"),
        (lambda s: s.pop("roberta.emb_ln.weight"), "emb_ln.weight"),
        (lambda s: s.update({"roberta.extra.weight": s["linear.weight"].clone()}), "extra.weight"),
        (lambda s: s.update({"linear.weight": s["linear.weight"][:, :8].clone()}), "projection"),
        (
            lambda s: s.update({"roberta.encoder.layers.0.mlp.fc1.weight": s["linear.weight"].clone()}),
            "layers.0.mlp.fc1.weight",
        ),
    ],
    ids=["no head", "no bias", "no norm", "extra", "head shape", "layer shape"],
)
def test_weights_that_do_not_fit_are_an_error_naming_them(tmp_path: Path, change: object, named: str) -> None:
    make_jina(tmp_path / "m")
    edit(tmp_path / "m", change)
    with pytest.raises(ModelError) as caught:
        Encoder(tmp_path / "m")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_marker_that_is_not_in_the_vocabulary_is_an_error(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    metadata = json.loads((tmp_path / "m/artifact.metadata").read_text())
    (tmp_path / "m/artifact.metadata").write_text(json.dumps({**metadata, "query_token_id": "[Nope]"}))
    with pytest.raises(ModelError, match=r"\[Nope\]"):
        Encoder(tmp_path / "m")


def test_the_license_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_jina(tmp_path / "licensed")
    (tmp_path / "licensed/README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with caplog.at_level(logging.WARNING, logger="polyvec"):
        Encoder(tmp_path / "licensed")
        Encoder(tmp_path / "licensed")
    assert caplog.text.count("cc-by-nc-4.0") == 1


@pytest.mark.weights
def test_published_numbers() -> None:
    """First five dimensions that the published weights give; needs jinaai/jina-colbert-v2 in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache("jinaai/jina-colbert-v2", "model.safetensors"), str):
        pytest.skip("the published weights are not in the local cache")
    encoder = Encoder("jinaai/jina-colbert-v2")
    document = [
        [0.0744, 0.0590, -0.2404, -0.1776, 0.0198],
        [0.1318, 0.0882, -0.1136, -0.2065, 0.1461],
        [-0.0178, -0.1359, -0.0136, -0.1075, -0.0509],
        [0.0004, -0.1198, -0.0696, -0.0482, -0.0650],
        [0.0766, 0.0448, -0.2344, -0.1829, 0.0061],
    ]
    query = [
        [0.0475, 0.0250, -0.2225, -0.1087, -0.0297],
        [0.0211, -0.0844, -0.0070, -0.1715, 0.0154],
        [-0.0062, -0.0958, -0.0142, -0.1283, -0.0218],
        [0.0490, -0.0500, -0.1613, 0.0193, 0.0280],
        [0.0477, 0.0250, -0.2279, -0.1128, -0.0289],
        [0.0205, -0.0859, -0.0385, -0.1231, -0.0331],
    ]
    np.testing.assert_allclose(encoder.encode_document("Hello World")[:, :5], document, atol=1e-3)
    np.testing.assert_allclose(encoder.encode_query("Hello World")[[0, 1, 2, 3, 4, 31], :5], query, atol=1e-3)
