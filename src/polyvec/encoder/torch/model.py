"""A model on torch and sentence-transformers: what an encoder needs of it.

For GPUs, half precision, new heads, pooling, and architectures that the native kernels do not have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from polyvec.encoder.checkpoints.loading import check_text_model, load
from polyvec.encoder.description import ModelDescription, bigrams_in_words, heads_in_words, layer_in_words
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.fingerprint import fingerprint, vector_settings
from polyvec.encoder.locate import Located, locate
from polyvec.encoder.model_folder.weight_names import is_unused
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.pooling import Pooling, TokenPooling, pool
from polyvec.encoder.tokens import Layout, TextTokenizer
from polyvec.encoder.torch.bigrams import HashedBigrams
from polyvec.encoder.torch.forward import Forward
from polyvec.encoder.torch.heads import MatryoshkaHeads
from polyvec.encoder.torch.loaded import Loaded
from polyvec.encoder.torch.precision import Choice, choose, int8_linear, weight_dtype
from polyvec.encoder.torch.settings import apply_options, bigrams_of, device_for, layout_of, poolings_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


@dataclass(slots=True)
class TorchModel:
    """A loaded model with a caller's options in it.

    Attributes:
        precision_choice: What precision="auto" measured; None for any other.
    """

    loaded: Loaded
    layout: Layout
    tokens: TextTokenizer
    forward: Forward
    precision: str
    precision_choice: Choice | None
    poolings: list[Any]
    fingerprint: str

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.loaded.located.name

    @property
    def located(self) -> Located:
        """Where it lies."""
        return self.loaded.located

    @property
    def dim(self) -> int:
        """Dimensions of a token vector."""
        return int(self.loaded.model.get_embedding_dimension())

    @property
    def description(self) -> ModelDescription:
        """The model in words."""
        model, config = self.loaded.model, self.loaded.model[0].config
        return ModelDescription(
            kind=self.loaded.kind,
            folder=self.located.folder,
            architecture=str(config.model_type),
            layers=int(getattr(config, "num_hidden_layers", 0)),
            hidden=int(getattr(config, "hidden_size", 0)),
            parameters=sum(one.numel() for name, one in model.named_parameters() if not is_unused(name)),
            rotary_bases=_rotary_bases(config),
            vocabulary=len(model.tokenizer),
            projection=tuple(_projection_in_words(model, self.dim)),
            unusual=tuple(self.loaded.unusual),
        )

    def pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, where the model or an option says so."""
        return pool(encoded, task, [_without_torch(pooling) for pooling in self.poolings])


@dataclass(frozen=True, slots=True)
class _ModulePooling:
    """A pooling of another kind, on torch."""

    module: Any

    def applies_to(self, task: str) -> bool:
        return bool(self.module.applies_to(task))

    def pooled(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        (rows,) = self.module.pool([torch.from_numpy(vectors)], task=self.module.tasks[0])
        pooled: npt.NDArray[np.float32] = rows.numpy()
        return pooled


def _without_torch(module: Any) -> Pooling:
    """The same pooling in NumPy, where it is sentence-transformers' hierarchical one."""
    if type(module).__name__ != "HierarchicalTokenPooling":
        return _ModulePooling(module)
    return TokenPooling(
        module.pool_factor, module.num_protected_tokens, module.normalize_embeddings, tuple(module.tasks)
    )


def _rotary_bases(config: Any) -> tuple[float, ...]:
    """One base, or those of full and of sliding attention."""
    rope = getattr(config, "rope_parameters", None)
    if not isinstance(rope, dict):
        return ()
    tables = [rope] if "rope_theta" in rope else [one for one in rope.values() if isinstance(one, dict)]
    return tuple(float(table["rope_theta"]) for table in tables if "rope_theta" in table)


def _projection_in_words(model: MultiVectorEncoder, dim: int) -> Iterator[str]:
    for module in list(model)[1:]:
        if isinstance(module, MatryoshkaHeads):
            yield heads_in_words(list(module.sizes), module.active)
        elif isinstance(module, HashedBigrams):
            yield bigrams_in_words(module.weight_of(dim))
        elif hasattr(module, "out_features"):
            residual = bool(getattr(module, "use_residual", False))
            yield layer_in_words(module.in_features, module.out_features, residual=residual)


def load_torch(model: Any, options: EncoderOptions) -> TorchModel:
    """Load a model, or take one that is in memory, and write the options into it.

    Args:
        model: None for the default model, a folder, a Hugging Face name, or a MultiVectorEncoder.
        options: what the caller chose.

    Raises:
        InputError: for an option that the model cannot follow.
        ModelError: for a checkpoint that cannot be loaded.
    """
    if options.threads is not None:
        # with very many, torch ends the process
        torch.set_num_threads(min(options.threads, os.cpu_count() or 1))
    if hasattr(model, "encode_document"):
        loaded = Loaded(model, Located(Path(), "a model in memory"), "memory")
    else:
        device = device_for(options.device)
        loaded = load(
            locate(model), device=device, dtype=weight_dtype(options.precision or "fp32", device), heads=options.heads
        )
    check_text_model(loaded.model, loaded.located.name)
    apply_options(loaded, options)
    layout = layout_of(loaded.model, options)
    tokens = TextTokenizer(loaded.model.tokenizer, layout)
    forward, precision, choice = _arithmetic(loaded.model, tokens, options.precision)
    folder = None if loaded.kind == "memory" else loaded.located.folder
    poolings = poolings_of(loaded.model)
    name = fingerprint(folder, loaded.model, _vector_settings(loaded.model, layout, poolings))
    return TorchModel(loaded, layout, tokens, forward, precision, choice, poolings, name)


def _arithmetic(
    model: MultiVectorEncoder, tokens: TextTokenizer, wanted: str | None
) -> tuple[Forward, str, Choice | None]:
    """The forward pass in the arithmetic asked for, its name, and what `auto` measured."""
    forward = Forward(model)
    if wanted == "int8":
        return forward.with_linear(int8_linear(forward, tokens)), "int8", None
    if wanted == "auto" and model.dtype is not None and str(model.dtype) == "torch.float32":
        best, choice = choose(forward, tokens)
        return best, choice.precision, choice
    names = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}
    return forward, names.get(str(model.dtype), "fp32"), None


def _vector_settings(model: MultiVectorEncoder, layout: Layout, poolings: list[Any]) -> dict[str, Any]:
    bigrams, dim = bigrams_of(model), int(model.get_embedding_dimension())
    sized = [module for module in list(model)[1:] if hasattr(module, "get_embedding_dimension")]
    return vector_settings(
        layout,
        dim=dim,
        projection=[(type(module).__name__, module.get_embedding_dimension()) for module in sized],
        pooling=[pooling.get_config_dict() for pooling in poolings],
        bigrams=None if bigrams is None else bigrams.in_vectors(dim),
    )
