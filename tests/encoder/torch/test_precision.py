"""Arithmetic on torch: fp32, bf16, int8 and the choice between them; packed and padded forward passes; other devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polyvec.encoder import Encoder
from polyvec.encoder.samples import DOCUMENTS, QUERIES
from polyvec.encoder.torch import precision
from polyvec.encoder.torch.forward import Forward
from polyvec.errors import InputError
from tests.encoder.toy_checkpoints import make_jina, make_plain, sentencepiece_tokenizer, wordpiece_tokenizer


def cosine(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.mean([(a * b).sum(1).mean() for a, b in zip(one, other, strict=True)]))


@pytest.fixture(scope="module")
def exact() -> Encoder:
    return Encoder(backend="torch")


@pytest.mark.parametrize(("name", "least"), [("bf16", 0.995), ("int8", 0.99)])
def test_other_arithmetic_stays_near_fp32(exact: Encoder, name: str, least: float) -> None:
    other = Encoder(backend="torch", precision=name)  # type: ignore[arg-type]
    assert other.precision == name
    assert cosine(exact.encode_document(DOCUMENTS), other.encode_document(DOCUMENTS)) > least
    assert other.fingerprint == exact.fingerprint
    assert other.settings() == exact.settings()


@pytest.mark.parametrize(("speedup", "chosen"), [(3.0, "int8"), (1.0, "fp32")])
def test_auto_takes_int8_where_it_is_faster_and_agrees(
    monkeypatch: pytest.MonkeyPatch, speedup: float, chosen: str
) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda *_: speedup)
    encoder = Encoder(backend="torch", precision="auto")
    assert encoder.precision == chosen
    assert encoder.precision_choice is not None
    assert encoder.precision_choice.cosine > 0.99


def test_auto_keeps_fp32_where_int8_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda *_: 3.0)
    monkeypatch.setattr(precision, "_int8", lambda weight, bias, largest: lambda x: torch.randn(len(x), len(weight)))
    torch.manual_seed(0)
    assert Encoder(backend="torch", precision="auto").precision == "fp32"


def test_outlying_dimensions_keep_their_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 96, generator=generator)
    x[:, 5] *= 80
    weight, bias = torch.randn(32, 96, generator=generator), torch.randn(32, generator=generator)
    expected = torch.nn.functional.linear(x, weight, bias)
    with_care = precision._int8(weight, bias, x.abs().amax(0))(x)
    without = precision._int8(weight, bias, torch.ones(96))(x)
    careful, careless = ((result - expected).abs().mean() for result in (with_care, without))
    assert careful < 0.1 * careless


@pytest.mark.parametrize("kind", ["jina", "bert", "xlm-roberta", "modernbert"])
def test_packed_equals_padded(tmp_path: Path, kind: str) -> None:
    if kind == "jina":
        make_jina(tmp_path / "m")
    elif kind == "bert":
        make_plain(tmp_path / "m")
    elif kind == "xlm-roberta":
        make_xlm_roberta(tmp_path / "m")
    else:
        make_modernbert(tmp_path / "m")
    encoder = Encoder(tmp_path / "m", backend="torch")
    assert encoder.packed
    texts = ["hello world", "hello " * 90, "what is light", "what is sugar", "a"]
    packed = encoder.encode_document(texts)
    padded = Forward(encoder.model)
    padded.packed = False
    encoder._forward = padded
    for mine, theirs in zip(packed, encoder.encode_document(texts), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    stock = encoder.model.encode_document(texts, convert_to_numpy=True)
    for mine, theirs in zip(packed, stock, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def make_xlm_roberta(folder: Path) -> None:
    """A backbone whose position table starts after its padding row."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = sentencepiece_tokenizer()
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=130,
        type_vocab_size=1,
        initializer_range=0.2,
    )
    XLMRobertaModel(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def make_modernbert(folder: Path) -> None:
    """A backbone with a sliding window, which runs through transformers, packed."""
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        local_attention=16,
        max_position_embeddings=512,
        pad_token_id=0,
        initializer_range=0.2,
    )
    ModernBertModel(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def test_int8_needs_a_backbone_that_can(tmp_path: Path) -> None:
    make_modernbert(tmp_path / "m")
    with pytest.raises(InputError, match="modernbert"):
        Encoder(tmp_path / "m", backend="torch", precision="int8")
    assert Encoder(tmp_path / "m", backend="torch", precision="auto").precision == "fp32"


def test_int8_queries_work(exact: Encoder) -> None:
    assert cosine(exact.encode_query(QUERIES), Encoder(backend="torch", precision="int8").encode_query(QUERIES)) > 0.98


def test_a_device_that_is_not_here_is_one_plain_line() -> None:
    with pytest.raises(InputError, match="device='cuda:7'") as caught:
        Encoder(backend="torch", device="cuda:7")
    assert "\n" not in str(caught.value)


def test_threads_are_set_for_the_process() -> None:
    before = torch.get_num_threads()
    try:
        Encoder(backend="torch", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16", "auto"])
def test_on_a_gpu(exact: Encoder, name: str) -> None:
    gpu = Encoder(backend="torch", device="cuda", precision=name)  # type: ignore[arg-type]
    assert (
        cosine(Encoder(backend="torch", device="cpu").encode_document(DOCUMENTS), gpu.encode_document(DOCUMENTS))
        > 0.995
    )
