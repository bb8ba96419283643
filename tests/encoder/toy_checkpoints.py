"""Small random-weight checkpoints in every published layout, made on the fly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = [
    "hello",
    "world",
    "what",
    "is",
    "photosynthesis",
    "light",
    "plants",
    "turn",
    "into",
    "sugar",
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "question",
    "answer",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
FOREIGN = ["光", "合", "作", "用", "न", "म", "स", "्", "त", "े", "م", "ر", "ح", "ب", "ا", "ส", "ว", "ั", "ด", "ี", "é", "ü"]
PUNCTUATION = [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "。", "،", "।", "؟", "«", "»"]


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """XLM-R's layout: <s> <pad> </s> <unk>, pieces with ▁, <mask>, then Jina's two markers at the end."""
    pieces = ["▁", *(f"▁{word}" for word in WORDS), *WORDS, "▁,", "▁.", *PUNCTUATION, *LETTERS, *FOREIGN]
    seen = list(dict.fromkeys(pieces))
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -8.0 - 0.01 * i if len(piece) > 1 else -15.0) for i, piece in enumerate(seen)]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=8192,
        **special,
    )
    tokenizer.add_tokens([AddedToken("[QueryMarker]", special=True), AddedToken("[DocumentMarker]", special=True)])
    return tokenizer


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """BERT's layout, with the unused tokens that Stanford's markers take."""
    tokens = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS]
    tokens += [f"##{letter}" for letter in LETTERS] + PUNCTUATION
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )


def copy_saying(source: Path, folder: Path, **said: Any) -> Path:
    """A copy of a model's folder whose tokenizer_config.json says this too."""
    shutil.copytree(source, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **said}), encoding="utf-8")
    return folder


def make_jina(
    folder: Path, *, heads: Sequence[int] = (16,), layers: int = 2, seed: int = 0, as_bin: bool = False, **config: Any
) -> dict[str, np.ndarray]:
    """A folder as jina-colbert-v2 is published; returns the weights under their published names."""
    tokenizer = sentencepiece_tokenizer()
    hidden, feed, vocabulary = 32, 64, len(tokenizer)
    shapes: dict[str, tuple[int, ...]] = {
        "roberta.embeddings.word_embeddings.weight": (vocabulary, hidden),
        "roberta.embeddings.token_type_embeddings.weight": (1, hidden),
        "roberta.emb_ln.weight": (hidden,),
        "roberta.emb_ln.bias": (hidden,),
        "roberta.pooler.dense.weight": (hidden, hidden),
        "roberta.pooler.dense.bias": (hidden,),
    }
    for layer in range(layers):
        for name, shape in {
            "mixer.Wqkv": (3 * hidden, hidden),
            "mixer.out_proj": (hidden, hidden),
            "mlp.fc1": (feed, hidden),
            "mlp.fc2": (hidden, feed),
            "norm1": (hidden,),
            "norm2": (hidden,),
        }.items():
            shapes[f"roberta.encoder.layers.{layer}.{name}.weight"] = shape
            shapes[f"roberta.encoder.layers.{layer}.{name}.bias"] = shape[:1]
    for size in heads:
        shapes["linear.weight" if size == heads[0] else f"linear_{size}.weight"] = (size, hidden)
    rng = np.random.default_rng(seed)
    weights = {
        name: (rng.normal(0, 0.15, shape) + (1 if "_ln.w" in name or ("norm" in name and "weight" in name) else 0))
        for name, shape in shapes.items()
    }
    state = {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if as_bin:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    published = {
        "architectures": ["HF_ColBERT"],
        "auto_map": {"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_xlm_roberta.XLMRobertaModel"},
        "model_type": "xlm-roberta",
        "hidden_size": hidden,
        "intermediate_size": feed,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "vocab_size": vocabulary,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 8194,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "position_embedding_type": "rotary",
        "rotary_emb_base": 5000.0,
        "hidden_act": "gelu",
        **config,
    }
    write(folder / "config.json", {key: value for key, value in published.items() if value is not None})
    metadata = {
        "query_token_id": "[QueryMarker]",
        "doc_token_id": "[DocumentMarker]",
        "query_maxlen": 32,
        "doc_maxlen": 300,
        "mask_punctuation": True,
        "attend_to_mask_tokens": True,
        "dim": heads[0],
    }
    write(folder / "artifact.metadata", metadata)
    tokenizer.save_pretrained(str(folder))
    return {name: value.numpy() for name, value in state.items()}


def make_stanford(folder: Path, *, dim: int = 16, metadata: dict[str, Any] | None = None, drop: str = "") -> None:
    """A folder as colbertv2.0 is published: BERT with linear.weight beside it."""
    model, tokenizer = bert()
    state = {f"bert.{name}": value.contiguous() for name, value in model.state_dict().items() if name != drop}
    state["linear.weight"] = torch.randn(dim, 32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**model.config.to_dict(), "architectures": ["HF_ColBERT"]}
    write(folder / "config.json", config)
    said = {"query_maxlen": 32, "doc_maxlen": 180, "mask_punctuation": True, "attend_to_mask_tokens": False, "dim": dim}
    write(folder / "artifact.metadata", said if metadata is None else metadata)
    tokenizer.save_pretrained(str(folder))


def make_pylate(
    folder: Path, *, sizes: Sequence[int] = (16,), residual: bool = False, expansion: bool = True, tagged: bool = True
) -> None:
    """A folder as PyLate saves it: a backbone, one or several Dense layers, settings on top."""
    model, tokenizer = bert()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.add_tokens([AddedToken("[Q] ", normalized=False), AddedToken("[D] ", normalized=False)])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    width = 32
    for number, size in enumerate(sizes, start=1):
        write_dense(folder / f"{number}_Dense", width, size, residual=residual)
        modules.append(
            {"idx": number, "name": str(number), "path": f"{number}_Dense", "type": "pylate.models.Dense.Dense"}
        )
        width = size
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 179, "do_lower_case": False})
    settings = {
        **({"model_type": "ColBERT"} if tagged else {}),
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": 180,
        "attend_to_expansion_tokens": False,
        "do_query_expansion": expansion,
        "skiplist_words": list("!,.?"),
    }
    write(folder / "config_sentence_transformers.json", settings)


def make_plain(folder: Path) -> None:
    """A bare BERT encoder, nothing on top."""
    model, tokenizer = bert()
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def write_dense(folder: Path, width: int, size: int, *, residual: bool = False) -> None:
    folder.mkdir(parents=True)
    state = {"linear.weight": torch.randn(size, width) * 0.2}
    if residual and width != size:
        state["residual.weight"] = torch.randn(size, width) * 0.2
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"in_features": width, "out_features": size, "bias": False, "use_residual": residual}
    write(folder / "config.json", {**config, "activation_function": "torch.nn.modules.linear.Identity"})


def bert() -> tuple[BertModel, PreTrainedTokenizerFast]:
    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    return BertModel(config).eval(), tokenizer


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
