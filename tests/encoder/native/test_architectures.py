"""Every published layout and every backbone gives the torch path's vectors, tokens and fingerprint, in fp32 to 1e-4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    CamembertConfig,
    JinaEmbeddingsV3Config,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from polyvec.encoder import Encoder
from polyvec.encoder.native.encoder import NativeEncoder
from tests.encoder.toy_checkpoints import (
    make_jina,
    make_plain,
    make_pylate,
    make_stanford,
    sentencepiece_tokenizer,
    wordpiece_tokenizer,
    write_dense,
)

TEXTS = [
    "hello world, what is light?",
    "plants turn light into sugar. " * 30,
    "answer",
    "光合作用 of plants!",
    "<mask> [MASK] </s>",
]
SMALL: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 3}
CONFIGS: dict[str, Callable[[int], Any]] = {
    "bert": lambda v: BertConfig(vocab_size=v, max_position_embeddings=300, initializer_range=0.2, **SMALL),
    "roberta": lambda v: RobertaConfig(
        vocab_size=v, max_position_embeddings=300, pad_token_id=1, initializer_range=0.2, **SMALL
    ),
    "xlm-roberta": lambda v: XLMRobertaConfig(
        vocab_size=v, max_position_embeddings=300, pad_token_id=1, type_vocab_size=1, initializer_range=0.2, **SMALL
    ),
    "camembert": lambda v: CamembertConfig(
        vocab_size=v, max_position_embeddings=300, pad_token_id=1, initializer_range=0.2, **SMALL
    ),
    "rotary": lambda v: JinaEmbeddingsV3Config(
        vocab_size=v, max_position_embeddings=512, initializer_range=0.2, **SMALL
    ),
    "modernbert": lambda v: ModernBertConfig(
        vocab_size=v,
        max_position_embeddings=512,
        local_attention=16,
        pad_token_id=1,
        initializer_range=0.2,
        **{**SMALL, "num_hidden_layers": 5},
    ),
}


def save_plain(folder: Path, kind: str, *, dtype: torch.dtype = torch.float32) -> None:
    """A bare backbone with random weights."""
    tokenizer = wordpiece_tokenizer() if kind == "bert" else sentencepiece_tokenizer()
    torch.manual_seed(1)
    model = AutoModel.from_config(CONFIGS[kind](len(tokenizer)))
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too, so that each has to be in its place
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(dtype).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def assert_same(folder: Path, *, atol: float = 1e-4, **options: Any) -> NativeEncoder:
    native, stock = NativeEncoder(folder, precision="fp32", **options), Encoder(folder, **options)
    assert native.layout == stock.layout
    assert native.fingerprint == stock.fingerprint
    assert native.dim == stock.dim
    assert native.settings() == stock.settings()
    for encode in ("stream_documents", "stream_queries"):
        for mine, theirs in zip(getattr(native, encode)(TEXTS), getattr(stock, encode)(TEXTS), strict=True):
            np.testing.assert_array_equal(mine.token_ids, theirs.token_ids)
            np.testing.assert_array_equal(mine.offsets, theirs.offsets)
            assert mine.truncated == theirs.truncated
            np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=atol)
    return native


@pytest.mark.parametrize("kind", CONFIGS)
def test_backbones(tmp_path: Path, kind: str) -> None:
    save_plain(tmp_path / "m", kind)
    assert_same(tmp_path / "m")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    save_plain(tmp_path / "m", "modernbert", dtype=dtype)
    assert_same(tmp_path / "m")


@pytest.mark.parametrize("attend", [True, False])
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_mask_tokens_seen_or_not(tmp_path: Path, kind: str, attend: bool) -> None:
    save_plain(tmp_path / "m", kind)
    assert_same(tmp_path / "m", query_augmentation="fixed", query_length=40, attend_to_mask=attend)


def test_windows_skiplist_bigrams_and_a_cut(tmp_path: Path) -> None:
    save_plain(tmp_path / "m", "rotary")
    options = {"long_documents": "window", "document_length": 24, "window_overlap": 6}
    assert_same(tmp_path / "m", skiplist="unicode", bigrams=0.5, dim=20, truncate=True, **options)


@pytest.mark.parametrize("heads", [(16,), (16, 8)])
def test_jina(tmp_path: Path, heads: tuple[int, ...]) -> None:
    make_jina(tmp_path / "m", heads=heads)
    assert_same(tmp_path / "m")
    assert_same(tmp_path / "m", dim=heads[-1])


def test_stanford(tmp_path: Path) -> None:
    make_stanford(tmp_path / "m")
    assert_same(tmp_path / "m")
    make_stanford(tmp_path / "without", metadata={})
    assert any("defaults" in note for note in assert_same(tmp_path / "without").description.unusual)


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize(("sizes", "residual"), [((16,), False), ((24, 16), True), ((32, 48, 16), True)])
def test_pylate(tmp_path: Path, sizes: tuple[int, ...], residual: bool, tagged: bool) -> None:
    make_pylate(tmp_path / "m", sizes=sizes, residual=residual, tagged=tagged)
    assert_same(tmp_path / "m")


def test_a_sister_head_in_its_own_folder(tmp_path: Path) -> None:
    make_pylate(tmp_path / "m", expansion=False)
    write_dense(tmp_path / "m/1_Dense_8", 32, 8)
    assert_same(tmp_path / "m", dim=8)


@pytest.mark.parametrize("make", [make_jina, make_stanford, make_pylate, make_plain])
def test_saved_folders(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "m")
    Encoder(tmp_path / "m", bigrams=0.4).save(tmp_path / "saved")
    assert_same(tmp_path / "saved")


def test_a_heads_shape_that_is_not_its_configuration(tmp_path: Path) -> None:
    make_pylate(tmp_path / "m", sizes=(24, 16))
    config = json.loads((tmp_path / "m/2_Dense/config.json").read_text())
    (tmp_path / "m/2_Dense/config.json").write_text(json.dumps({**config, "bias": True}))
    with pytest.raises(Exception, match=r"linear\.bias"):
        NativeEncoder(tmp_path / "m")
