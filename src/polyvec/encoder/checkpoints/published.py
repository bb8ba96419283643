"""Checkpoints with the projection beside the backbone's weights -> modules: Stanford's folders and Jina's.

Stanford: a transformers backbone and `linear.weight` in one file, settings in artifact.metadata. Jina-ColBERT-v2: the
same outside, inside an XLM-R with rotary positions under the names of its own remote code, which is neither run nor
needed: its weights go into transformers' own JinaEmbeddingsV3Model.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.encoder.locate import Located
from polyvec.encoder.model_folder.artifact import HEAD_FOLDER, ROOT_HEAD, read_artifact
from polyvec.encoder.model_folder.license import tell_license
from polyvec.encoder.model_folder.weight_names import check_names, safetensors_names
from polyvec.encoder.options import Skiplist
from polyvec.encoder.skiplist import skiplist_pieces
from polyvec.encoder.torch.strict import assemble, build_transformer
from polyvec.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import Tensor

_PUBLISHED_ROTARY_BASE = 10000.0  # what the remote code uses where config.json says nothing
_RENAMED = (
    (re.compile(r"^emb_ln\."), "embeddings.LayerNorm."),
    (re.compile(r"^encoder\.layers\.(\d+)\.mixer\.out_proj\."), r"layers.\1.self_attn.o_proj."),
    (re.compile(r"^encoder\.layers\.(\d+)\.norm1\."), r"layers.\1.post_attention_layernorm."),
    (re.compile(r"^encoder\.layers\.(\d+)\.norm2\."), r"layers.\1.post_mlp_layernorm."),
    (re.compile(r"^encoder\.layers\.(\d+)\.mlp\.(fc[12])\."), r"layers.\1.mlp.\2."),
)
_FUSED = re.compile(r"^encoder\.layers\.(\d+)\.mixer\.Wqkv\.(weight|bias)$")


def load_published(
    located: Located, *, jina: bool, device: str | None, dtype: str
) -> tuple[MultiVectorEncoder, list[str]]:
    """The model of a Stanford or Jina folder, and what was unusual about it."""
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    unusual: list[str] = []
    metadata = read_artifact(located.folder, unusual)
    state = read_weights(located.folder)
    heads = find_heads(located.folder, state)
    if not heads:
        raise ModelError(f"{located.name} has no projection: linear.weight is missing from its weights.")
    knobs = {
        "document_length": metadata["doc_maxlen"],
        "query_expansion": {
            "strategy": "fixed",
            "length": metadata["query_maxlen"],
            "attend": bool(metadata.get("attend_to_mask_tokens", False)),
        },
    }
    ready = _jina_backbone(located, state, dtype, unusual) if jina else None
    if jina:
        tell_license(located)
    del state
    transformer = build_transformer(located.folder, dtype=dtype, ready=ready, **knobs)
    markers = {"query": metadata["query_token_id"], "document": metadata["doc_token_id"]}
    _register_markers(transformer.tokenizer, markers, located.name, transformer.config.vocab_size)
    rule: Skiplist = "stanford" if metadata.get("mask_punctuation", True) else "none"
    modules = [
        transformer,
        _projection(heads, int(metadata.get("dim") or 0), transformer.get_embedding_dimension(), located.name),
        MultiVectorMask(skiplist_words=skiplist_pieces(transformer.tokenizer, rule)),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {role: f"{marker} " for role, marker in markers.items()}
    return assemble(modules, device=device, prompts=prompts), unusual


# -- weights -----------------------------------------------------------------------------------------------------------


def weight_names(folder: Path) -> list[str]:
    """Names of the weights in a folder's root, without reading the values where the format allows it."""
    return safetensors_names(folder) or list(_read_bin(folder))


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every weight in a folder's root, from safetensors or from pytorch_model.bin.

    Raises:
        ModelError: There is none.
    """
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= load_file(path)
    state = state or _read_bin(folder)
    if not state:
        raise ModelError(f"{folder} holds no weights: neither *.safetensors nor pytorch_model*.bin.")
    return state


def _read_bin(folder: Path) -> dict[str, Tensor]:
    import torch

    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("pytorch_model*.bin")):
        state |= torch.load(path, map_location="cpu", weights_only=True)
    return state


def find_heads(folder: Path, state: dict[str, Tensor]) -> dict[int, Tensor]:
    """The projections of a checkpoint by size: linear.weight, linear_96.weight, and folders such as 2_Dense_64."""
    heads = {weight.shape[0]: weight for key, weight in state.items() if ROOT_HEAD.match(key)}
    for path in sorted(folder.iterdir()):
        named = HEAD_FOLDER.match(path.name)
        if named is not None and path.is_dir():
            weight = read_weights(path)["linear.weight"]
            heads[int(named[1])] = weight
    return heads


def _projection(heads: dict[int, Tensor], dim: int, hidden: int, name: str) -> Any:
    """One head as a plain Dense module, which stock sentence-transformers reads; several as MatryoshkaHeads."""
    import torch
    from sentence_transformers.base.modules.dense import Dense

    from polyvec.encoder.torch.heads import MatryoshkaHeads

    wrong = {size: tuple(weight.shape) for size, weight in heads.items() if weight.shape != (size, hidden)}
    if wrong:
        raise ModelError(f"The projection of {name} has shape {wrong}, expected (size, {hidden}).")
    if len(heads) > 1:
        module = MatryoshkaHeads(hidden, list(heads), dim if dim in heads else None)
        for size, weight in heads.items():
            module.set_weight(size, weight)
        return module
    ((size, weight),) = heads.items()
    return Dense(
        hidden,
        size,
        bias=False,
        activation_function=torch.nn.Identity(),
        init_weight=weight.float(),
        module_input_name="token_embeddings",
    )


# -- Jina's backbone ---------------------------------------------------------------------------------------------------


def _jina_backbone(located: Located, state: dict[str, Tensor], dtype: str, unusual: list[str]) -> tuple[Any, Any]:
    """transformers' own model with the published weights in it.

    Raises:
        ModelError: A weight is missing, left over or of another shape.
    """
    import torch
    from transformers import JinaEmbeddingsV3Model

    config = _jina_config(located.folder, unusual)
    renamed = rename_jina(state)
    with torch.device("meta"):
        model = JinaEmbeddingsV3Model(config, add_pooling_layer=False)
    expected = model.state_dict()
    check_names(located.name, expected.keys() - renamed.keys(), renamed.keys() - expected.keys())
    misshapen = {
        key: f"{tuple(renamed[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if renamed[key].shape != value.shape
    }
    if misshapen:
        raise ModelError(f"The weights of {located.name} do not fit its configuration: {misshapen}.")
    model = JinaEmbeddingsV3Model._from_config(config, add_pooling_layer=False, dtype=getattr(torch, dtype))
    model.load_state_dict({key: renamed[key] for key in expected}, strict=True)
    return config, model.eval()


def rename_jina(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> transformers' names; the fused [Q; K; V] rows are taken apart, heads are left out."""
    renamed: dict[str, Tensor] = {}
    for key, weight in state.items():
        if ROOT_HEAD.match(key):
            continue
        name = key.removeprefix("roberta.")
        fused = _FUSED.match(name)
        if fused is not None:
            for part, rows in zip("qkv", weight.chunk(3), strict=True):
                renamed[f"layers.{fused[1]}.self_attn.{part}_proj.{fused[2]}"] = rows
            continue
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        renamed[name] = weight
    return renamed


def _jina_config(folder: Path, unusual: list[str]) -> Any:
    from transformers import JinaEmbeddingsV3Config

    published = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    base = published.get("rotary_emb_base")
    if base is None:
        base = _PUBLISHED_ROTARY_BASE
        unusual.append(f"config.json does not say rotary_emb_base: {base:g}, the published code's default, is used")
    for key, usual in (
        ("rotary_emb_fraction", 1.0),
        ("rotary_emb_interleaved", False),
        ("rotary_emb_scale_base", None),
    ):
        if published.get(key, usual) != usual:
            raise ModelError(
                f"{folder / 'config.json'}: {key}={published[key]!r} is not supported, expected {usual!r}."
            )
    same = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
    ]
    return JinaEmbeddingsV3Config(
        **{key: published[key] for key in same if key in published},
        rope_parameters={"rope_type": "default", "rope_theta": float(base)},
    )


def _register_markers(tokenizer: Any, markers: dict[str, str], name: str, vocabulary: int) -> None:
    """Make each marker one token, as it was in training.

    Raises:
        ModelError: The model has no row for one.
    """
    from transformers import AddedToken

    for role, marker in markers.items():
        token_id = tokenizer.convert_tokens_to_ids(marker)
        if token_id is None or token_id == tokenizer.unk_token_id or token_id >= vocabulary:
            raise ModelError(f"The {role} marker {marker!r} of {name} is not in its vocabulary of {vocabulary} tokens.")
        if tokenizer.tokenize(marker) != [marker]:
            tokenizer.add_tokens([AddedToken(marker, normalized=False, special=True)], special_tokens=True)
