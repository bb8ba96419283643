"""An XLM-R, RoBERTa or BERT checkpoint -> the rotary backbone, with another vocabulary where wanted.

The layers of these models and of JinaEmbeddingsV3 are the same but for positions: weights are carried over, the
position table is dropped, rotary embeddings take its place. The result needs training before its attention means
anything again.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from polyvec.atomic import staged
from polyvec.encoder.model_folder.weight_names import check_names
from polyvec.encoder.torch.strict import one_line_errors, quiet
from polyvec.errors import InputError, ModelError

logger = logging.getLogger(__name__)

_SOURCES = ("bert", "roberta", "xlm-roberta", "camembert")
_RENAMED = (
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\.self\.query\."), r"layers.\1.self_attn.q_proj."),
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\.self\.key\."), r"layers.\1.self_attn.k_proj."),
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\.self\.value\."), r"layers.\1.self_attn.v_proj."),
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\.output\.dense\."), r"layers.\1.self_attn.o_proj."),
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\."), r"layers.\1.post_attention_layernorm."),
    (re.compile(r"^encoder\.layer\.(\d+)\.intermediate\.dense\."), r"layers.\1.mlp.fc1."),
    (re.compile(r"^encoder\.layer\.(\d+)\.output\.dense\."), r"layers.\1.mlp.fc2."),
    (re.compile(r"^encoder\.layer\.(\d+)\.output\.LayerNorm\."), r"layers.\1.post_mlp_layernorm."),
)
_DROPPED = re.compile(r"^embeddings\.(position_embeddings\.|position_ids|token_type_ids)|^pooler\.")
_SPECIAL = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "cls_token_id",
    "sep_token_id",
    "unk_token_id",
    "mask_token_id",
)


def convert_to_rotary(
    source: Path,
    folder: Path,
    *,
    tokenizer: Path | None = None,
    rotary_base: float = 10000.0,
    max_length: int = 8192,
    seed: int = 0,
) -> dict[str, int]:
    """Write the rotary form of a checkpoint folder; returns how the vocabulary was carried over.

    Args:
        source: A checkpoint of BERT, RoBERTa or XLM-R.
        folder: To make.
        tokenizer: Folder of another tokenizer to take the vocabulary from.
        rotary_base: Of the rotation's wavelengths.
        max_length: Tokens that the model shall take.
        seed: Of the rows that are drawn.

    Raises:
        ModelError: The checkpoint has another architecture.
        StorageError: Something is in the way, or the folder cannot be written.
    """
    from transformers import AutoModel, AutoTokenizer

    with quiet(), one_line_errors(str(source)):
        model = AutoModel.from_pretrained(str(source), local_files_only=True)
        old = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        converted = to_rotary(model, rotary_base=rotary_base, max_length=max_length)
        kept, report = old, {"copied": len(old), "averaged": 0, "random": 0}
        if tokenizer is not None:
            kept = AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True)
            report = replace_vocabulary(converted, old, kept, seed=seed)
        kept.model_max_length = max_length
        with staged(folder) as staging:
            converted.save_pretrained(str(staging))
            kept.save_pretrained(str(staging))
    return report


def to_rotary(model: Any, *, rotary_base: float = 10000.0, max_length: int = 8192) -> Any:
    """A JinaEmbeddingsV3Model with the weights of a transformers BERT, RoBERTa or XLM-R model.

    Raises:
        ModelError: The model has another architecture, or weights without a place.
        InputError: rotary_base or max_length is too small.
    """
    from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    if rotary_base <= 1 or max_length < 1:
        raise InputError(f"rotary_base={rotary_base}, max_length={max_length}: expected numbers above 1.")
    old = model.config
    if old.model_type not in _SOURCES or getattr(old, "position_embedding_type", "absolute") != "absolute":
        raise ModelError(f"A {old.model_type} model has no rotary form here; expected one of {', '.join(_SOURCES)}.")
    same = [
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps", "pad_token_id",
        "bos_token_id", "eos_token_id",
    ]  # fmt: skip
    config = JinaEmbeddingsV3Config(
        **{key: getattr(old, key) for key in same if hasattr(old, key)},
        max_position_embeddings=max_length,
        type_vocab_size=1,
        rope_parameters={"rope_type": "default", "rope_theta": float(rotary_base)},
    )
    state = {_renamed(key): value for key, value in model.state_dict().items() if not _DROPPED.match(key)}
    types = "embeddings.token_type_embeddings.weight"
    state[types] = state[types][:1]  # one type of text here
    converted = JinaEmbeddingsV3Model(config, add_pooling_layer=False)
    expected = converted.state_dict().keys()
    check_names(old.model_type, expected - state.keys(), state.keys() - expected)
    converted.load_state_dict(state, strict=True)
    return converted.eval()


def _renamed(key: str) -> str:
    for pattern, replacement in _RENAMED:
        key = pattern.sub(replacement, key)
    return key


def replace_vocabulary(model: Any, old: Any, new: Any, *, seed: int = 0) -> dict[str, int]:
    """Give a model the vocabulary of another tokenizer, in place; returns how many rows came from where.

    A special token takes the row of its role; a piece of the same string takes that row; any other the mean of the
    old pieces that spell it; what the old vocabulary cannot spell is drawn at the embeddings' own mean and spread.
    """
    import torch

    table = model.get_input_embeddings().weight.detach()
    generator = torch.Generator().manual_seed(seed)
    size = max(new.get_vocab().values()) + 1
    rows = table.mean(0) + table.std(0) * torch.randn(size, table.shape[1], generator=generator)
    report = {"copied": 0, "averaged": 0, "random": 0}
    roles = _roles(old, new)
    old_marks, new_marks = _marks_continuation(old), _marks_continuation(new)
    known = old.get_vocab()
    spelled = {_spelling(piece, old_marks): i for piece, i in known.items()}
    for piece, i in new.get_vocab().items():
        if i in roles:
            found = [roles[i]]
        elif old_marks == new_marks and piece in known:  # the sign of a word's start alone is a piece too
            found = [known[piece]]
        else:
            found = _old_rows(_spelling(piece, new_marks), old, spelled)
        if found:
            rows[i] = table[found].mean(0)
        report["copied" if len(found) == 1 else "averaged" if found else "random"] += 1
    embeddings = torch.nn.Embedding(size, table.shape[1], padding_idx=new.pad_token_id)
    with torch.no_grad():
        embeddings.weight.copy_(rows.to(table.dtype))
    model.set_input_embeddings(embeddings)
    model.config.vocab_size = size
    for role in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(model.config, role, getattr(new, role))
    logger.info("vocabulary of %d pieces: %s", size, report)
    return report


def _roles(old: Any, new: Any) -> dict[int, int]:
    """New id -> old id of the same role: first the exact role, then the start and end tokens under their other name."""
    pairs: dict[int, int] = {}
    fallback = {
        "bos_token_id": "cls_token_id",
        "eos_token_id": "sep_token_id",
        "cls_token_id": "bos_token_id",
        "sep_token_id": "eos_token_id",
    }
    for role in _SPECIAL:
        target = getattr(new, role, None)
        source = getattr(old, role, None)
        if source is None and role in fallback:
            source = getattr(old, fallback[role], None)
        if target is not None and source is not None:
            pairs.setdefault(target, source)
    return pairs


def _old_rows(spelling: tuple[str, bool], old: Any, spelled: dict[tuple[str, bool], int]) -> list[int]:
    """Rows of the old table that spell a new piece."""
    text, starts_word = spelling
    for key in (
        (text, starts_word),
        (text.lower(), starts_word),
        (text, not starts_word),
        (text.lower(), not starts_word),
    ):
        if text and key in spelled:
            return [spelled[key]]
    ids = old.encode(text, add_special_tokens=False) if text else []
    return [] if old.unk_token_id in ids else ids


def _marks_continuation(tokenizer: Any) -> bool:
    """Whether a tokenizer marks the pieces that go on with a word (##s), not those that start one (▁s, Ġs)."""
    vocabulary = tokenizer.get_vocab()
    return any(piece in vocabulary for piece in ("##s", "##e", "##a"))


def _spelling(piece: str, continues: bool) -> tuple[str, bool]:
    """A piece's characters, and whether it starts a word, whichever sign its tokenizer writes that with.

    Args:
        piece: Of a vocabulary.
        continues: `_marks_continuation` of its tokenizer.
    """
    if piece.startswith("##"):
        return piece[2:], False
    if piece[:1] in ("▁", "Ġ"):
        return piece[1:], True
    return piece, continues
