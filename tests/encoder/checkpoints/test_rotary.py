"""BERT and XLM-R in rotary form: weights carried over, positions gone, vocabularies exchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, DistilBertConfig, DistilBertModel, XLMRobertaConfig, XLMRobertaModel

from polyvec.encoder import Encoder
from polyvec.encoder.checkpoints.rotary import convert_to_rotary, replace_vocabulary, to_rotary
from polyvec.errors import InputError, ModelError, StorageError
from tests.encoder.toy_checkpoints import bert, make_plain, sentencepiece_tokenizer, wordpiece_tokenizer


def xlm_roberta() -> XLMRobertaModel:
    torch.manual_seed(1)
    config = XLMRobertaConfig(
        vocab_size=len(sentencepiece_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    return XLMRobertaModel(config).eval()


@pytest.mark.parametrize("model", [bert()[0], xlm_roberta()], ids=["bert", "xlm-roberta"])
def test_only_positions_change(model: torch.nn.Module) -> None:
    """With positions silenced on both sides, old and new backbone are the same function."""
    rotary = to_rotary(model, rotary_base=1e30)  # type: ignore[arg-type]
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.zero_()
        rotary.rotary_emb.inv_freq.zero_()
        ids = torch.randint(4, 90, (2, 20))
        expected = model(input_ids=ids).last_hidden_state
        np.testing.assert_allclose(rotary(input_ids=ids).last_hidden_state, expected, atol=1e-5)


def test_a_converted_folder_opens_and_takes_longer_texts(tmp_path: Path) -> None:
    make_plain(tmp_path / "bert")
    report = convert_to_rotary(tmp_path / "bert", tmp_path / "rotary", max_length=1024)
    assert report["random"] == 0
    encoder = Encoder(tmp_path / "rotary", heads=(8, 16))
    assert encoder.model[0].config.model_type == "jina_embeddings_v3"
    assert encoder.encode_document("hello " * 900).shape == (902, 16)
    with pytest.raises(StorageError, match="something is there"):
        convert_to_rotary(tmp_path / "bert", tmp_path / "rotary")


def test_a_new_vocabulary_takes_rows_of_the_same_pieces(tmp_path: Path) -> None:
    old_tokenizer, new_tokenizer = wordpiece_tokenizer(), sentencepiece_tokenizer()
    model = to_rotary(bert()[0])
    table = model.get_input_embeddings().weight.detach().clone()
    report = replace_vocabulary(model, old_tokenizer, new_tokenizer)
    rows = model.get_input_embeddings().weight.detach()
    assert sum(report.values()) == len(new_tokenizer)
    assert model.config.vocab_size == rows.shape[0] == len(new_tokenizer)

    def new(piece: str) -> torch.Tensor:
        return rows[new_tokenizer.convert_tokens_to_ids(piece)]

    def old(piece: str) -> torch.Tensor:
        return table[old_tokenizer.convert_tokens_to_ids(piece)]

    for mine, theirs in (("▁hello", "hello"), ("h", "##h"), ("<s>", "[CLS]"), ("</s>", "[SEP]"), ("<mask>", "[MASK]")):
        np.testing.assert_array_equal(new(mine), old(theirs))
    assert report["random"] > 0
    again = to_rotary(bert()[0])
    replace_vocabulary(again, old_tokenizer, new_tokenizer)
    np.testing.assert_array_equal(again.get_input_embeddings().weight.detach(), rows)


def test_converting_with_a_vocabulary_writes_a_whole_folder(tmp_path: Path) -> None:
    make_plain(tmp_path / "bert")
    sentencepiece_tokenizer().save_pretrained(str(tmp_path / "pieces"))
    convert_to_rotary(tmp_path / "bert", tmp_path / "out", tokenizer=tmp_path / "pieces")
    model = AutoModel.from_pretrained(str(tmp_path / "out"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert model.config.pad_token_id == tokenizer.pad_token_id == 1
    assert np.isfinite(Encoder(tmp_path / "out").encode_document("hello world")).all()


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    small = DistilBertModel(DistilBertConfig(vocab_size=50, dim=32, hidden_dim=64, n_layers=1, n_heads=4))
    with pytest.raises(ModelError, match="distilbert"):
        to_rotary(small)
    with pytest.raises(InputError, match="rotary_base"):
        to_rotary(bert()[0], rotary_base=0)
