"""A model on torch and sentence-transformers: what an encoder needs of it.

For GPUs, half precision, new heads, pooling, and architectures that the native kernels do not have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polyvec.encoder.checkpoints.loading import check_text_model, load
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.fingerprint import fingerprint
from polyvec.encoder.locate import Located, locate
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.tokens import Layout, TextTokenizer
from polyvec.encoder.torch.forward import Forward
from polyvec.encoder.torch.loaded import Loaded
from polyvec.encoder.torch.precision import Choice, choose, int8_linear, weight_dtype
from polyvec.encoder.torch.settings import apply_options, bigrams_of, device_for, layout_of, poolings_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


@dataclass(slots=True)
class TorchModel:
    """A loaded model with a caller's options in it. precision_choice: what precision="auto" measured, else None."""

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

    def pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, as sentence-transformers does it."""
        poolings = [pooling for pooling in self.poolings if pooling.applies_to(task)]
        if not poolings:
            return encoded
        rows = torch.from_numpy(encoded.vectors)
        for pooling in poolings:
            (rows,) = pooling.pool([rows], task=task)
        vectors = torch.nn.functional.normalize(rows, dim=-1).numpy()
        return Encoded(vectors, np.full(len(vectors), -1, dtype=np.int32), None, encoded.truncated)


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
    """Every setting that document vectors depend on."""
    bigrams, dim = bigrams_of(model), int(model.get_embedding_dimension())
    return {
        "dim": dim,
        "projection": [
            [type(module).__name__, module.get_embedding_dimension()]
            for module in list(model)[1:]
            if hasattr(module, "get_embedding_dimension")
        ],
        "prompt": layout.document_prompt,
        "document_length": min(layout.document_length, layout.max_length),
        "skiplist": sorted(layout.document_skip),
        "long_documents": [layout.long_documents, layout.window_overlap] if layout.long_documents != "cut" else "cut",
        "pooling": [pooling.get_config_dict() for pooling in poolings],
        **({} if bigrams is None else {"bigrams": bigrams.in_vectors(dim)}),
    }
