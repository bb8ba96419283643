"""Every other published layout: read as its writer meant it, saved and read again, and openable by stock
sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.sentence_transformer import modules as sentence_transformer_modules

from polyvec.encoder import Encoder
from polyvec.encoder.checkpoints.convert import save_native, save_pylate
from polyvec.errors import InputError, ModelError, StorageError
from tests.encoder.toy_checkpoints import make_jina, make_plain, make_pylate, make_stanford, write_dense

TEXTS = ["hello world, what is light?", "plants turn light into sugar. " * 6, "answer"]


def stock(folder: Path, *, trust: bool = False) -> MultiVectorEncoder:
    return MultiVectorEncoder(str(folder), device="cpu", local_files_only=True, trust_remote_code=trust)


def assert_same(encoder: Encoder, other: MultiVectorEncoder) -> None:
    for mine, theirs in zip(
        encoder.encode_document(TEXTS), other.encode_document(TEXTS, convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    for mine, theirs in zip(
        encoder.encode_query(TEXTS[::2]), other.encode_query(TEXTS[::2], convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_stanford(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    encoder = Encoder(tmp_path / "m")
    assert (encoder.loaded.kind, encoder.dim, encoder.document_length, encoder.query_length) == (
        "stanford",
        16,
        180,
        32,
    )
    assert not encoder.layout.attend_to_mask
    (encoded,) = encoder.stream_documents(["hello world"])
    tokens = encoder.model.tokenizer.convert_ids_to_tokens(encoded.token_ids.tolist())
    assert tokens == ["[CLS]", "[unused1]", "hello", "world", "[SEP]"]
    assert_same(encoder, stock(tmp_path / "m"))


def test_stanford_without_metadata_says_so(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m", metadata={})
    encoder = Encoder(tmp_path / "m")
    assert (encoder.document_length, encoder.query_length) == (220, 32)
    assert any("defaults" in note for note in encoder.loaded.unusual)


def test_stanford_with_a_weight_missing_is_an_error(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m", drop="encoder.layer.1.attention.self.query.weight")
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.attention\.self\.query\.weight"):
        Encoder(tmp_path / "m")


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize(("sizes", "residual"), [((16,), False), ((24, 16), True), ((48, 24, 16), False)])
def test_pylate(tmp_path: Path, sizes: tuple[int, ...], residual: bool, tagged: bool) -> None:
    make_pylate(tmp_path / "m", sizes=sizes, residual=residual, tagged=tagged)
    encoder = Encoder(tmp_path / "m")
    assert (encoder.loaded.kind, encoder.dim, encoder.document_length, encoder.query_length) == ("pylate", 16, 180, 32)
    (encoded,) = encoder.stream_documents(["hello, world."])
    assert encoder.model.tokenizer.convert_ids_to_tokens(encoded.token_ids.tolist()) == [
        "[CLS]",
        "[D] ",
        "hello",
        "world",
        "[SEP]",
    ]
    assert_same(encoder, stock(tmp_path / "m"))


def test_pylate_without_expansion(tmp_path: Path) -> None:
    make_pylate(tmp_path / "m", expansion=False)
    encoder = Encoder(tmp_path / "m")
    assert encoder.layout.augmentation == "none"
    assert len(encoder.encode_query("hello world")) == 5


def test_pylate_with_an_unfilled_dense_is_an_error(tmp_path: Path) -> None:
    make_pylate(tmp_path / "m", sizes=(24, 16), residual=True)
    config = json.loads((tmp_path / "m/2_Dense/config.json").read_text())
    (tmp_path / "m/2_Dense/config.json").write_text(json.dumps({**config, "bias": True}))
    with pytest.raises(ModelError, match=r"linear\.bias"):
        Encoder(tmp_path / "m")


def test_a_sister_head_in_its_own_folder_is_found_by_size(tmp_path: Path) -> None:
    make_pylate(tmp_path / "m")
    write_dense(tmp_path / "m/1_Dense_8", 32, 8)
    assert Encoder(tmp_path / "m", dim=8).encode_query("hello").shape[1] == 8
    with pytest.raises(InputError, match="dim=4"):
        Encoder(tmp_path / "m", dim=4)


def test_plain_encoder_with_new_heads(tmp_path: Path) -> None:
    make_plain(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", heads=(8, 4), dim=4)
    assert encoder.dim == 4
    np.testing.assert_array_equal(
        encoder.encode_query("hello"), Encoder(tmp_path / "m", heads=(8, 4), dim=4).encode_query("hello")
    )
    make_stanford(tmp_path / "s")
    with pytest.raises(InputError, match="projection already"):
        Encoder(tmp_path / "s", heads=(8,))


@pytest.mark.parametrize(
    "options", [{}, {"dim": 8}, {"skiplist": "unicode", "document_length": 20}, {"pool_factor": 2.0}]
)
def test_a_saved_folder_gives_the_same_vectors_here_and_in_stock(tmp_path: Path, options: dict[str, object]) -> None:
    make_jina(tmp_path / "m", heads=(16, 8))
    encoder = Encoder(tmp_path / "m", **options)  # type: ignore[arg-type]
    encoder.save(tmp_path / "saved")
    again = Encoder(tmp_path / "saved")
    assert again.loaded.kind == "native"
    for mine, theirs in zip(encoder.encode_document(TEXTS), again.encode_document(TEXTS), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert_same(again, stock(tmp_path / "saved", trust=True))


def test_one_head_opens_in_stock_without_trust(tmp_path: Path) -> None:
    make_jina(tmp_path / "m")
    encoder = Encoder(tmp_path / "m")
    encoder.save(tmp_path / "saved")
    assert_same(encoder, stock(tmp_path / "saved"))


def test_pylate_and_back(tmp_path: Path) -> None:
    make_jina(tmp_path / "m", heads=(16, 8))
    encoder = Encoder(tmp_path / "m", dim=8)
    save_pylate(encoder.loaded, tmp_path / "pylate")
    again = Encoder(tmp_path / "pylate")
    assert (again.loaded.kind, again.document_length, again.query_length) == ("pylate", 300, 32)
    assert again.layout.attend_to_mask
    for mine, theirs in zip(encoder.encode_document(TEXTS), again.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_query("hello"), again.encode_query("hello"), atol=1e-6)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", query_augmentation="min")
    with pytest.raises(StorageError, match="something is there"):
        encoder.save(tmp_path / "m")
    with pytest.raises(InputError, match="min"):
        save_pylate(encoder.loaded, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    save_native(encoder.loaded, tmp_path / "new")
    assert stock(tmp_path / "new")[0].query_expansion["strategy"] == "min"


def test_a_model_in_memory(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    model = stock(tmp_path / "m")
    encoder = Encoder(model)
    np.testing.assert_allclose(encoder.encode_query("hello"), Encoder(tmp_path / "m").encode_query("hello"), atol=1e-6)
    before = encoder.fingerprint
    with torch.no_grad():
        model[1].linear.weight.mul_(1.5)
    assert Encoder(model).fingerprint != before
    with pytest.raises(InputError, match="Save it"):
        encoder.settings()


@pytest.mark.parametrize("content", [{}, {"config.json": "{"}, {"config.json": "{}"}, {"modules.json": "[]"}], ids=str)
def test_a_folder_that_is_no_checkpoint_is_one_plain_line(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError) as caught:
        Encoder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_in_training_is_evaluated_without_dropout(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    model = stock(tmp_path / "m")
    expected = Encoder(model).encode_query("hello")
    model.train()
    np.testing.assert_array_equal(Encoder(model).encode_query("hello"), expected)
    assert model.training


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    words = sentence_transformer_modules.BoW(vocab=["hello", "world"])
    with pytest.raises(ModelError, match="not a text encoder"):
        Encoder(MultiVectorEncoder(modules=[words], device="cpu"))


def test_new_heads_and_a_cut_do_not_share_a_fingerprint(tmp_path: Path) -> None:
    make_plain(tmp_path / "m")
    with_heads = Encoder(tmp_path / "m", heads=(8,))
    assert with_heads.fingerprint != Encoder(tmp_path / "m", dim=8, truncate=True).fingerprint


def test_alibi_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["HF_ColBERT"], "position_embedding_type": "alibi"})
    )
    with pytest.raises(ModelError, match="ALiBi"):
        Encoder(tmp_path)
