"""The encoder on native kernels: texts in, token vectors out, without torch.

Joins a folder's spec, its tokenizer, batching and the native forward pass. Vectors, settings and fingerprint are those of
`polyvec.encoder.Encoder`.
"""

from __future__ import annotations

import math
import os
from typing import Any

from polyvec import _native
from polyvec.encoder.description import ModelDescription, bigrams_in_words, heads_in_words, layer_in_words
from polyvec.encoder.encoded import Encoded
from polyvec.encoder.fingerprint import PROBE, fingerprint_of, vector_settings
from polyvec.encoder.locate import locate, portable_name
from polyvec.encoder.model_folder.weight_names import is_unused
from polyvec.encoder.native.forward import NativeForward
from polyvec.encoder.native.layout import apply_options, layout_of
from polyvec.encoder.native.spec import Spec, read_spec
from polyvec.encoder.native.weights import build_backbone
from polyvec.encoder.options import EncoderOptions
from polyvec.encoder.pooling import pool
from polyvec.encoder.streaming import StreamingEncoder
from polyvec.encoder.tokens import TextTokenizer
from polyvec.errors import InputError, ModelError
from polyvec.scoring import default_threads


class NativeEncoder(StreamingEncoder):
    """A late-interaction model on polyvec's own kernels.

    Args:
        model: None for the default model, a folder, or a Hugging Face name.
        kernel: a name from `polyvec._native.encoder_kernels()`; empty for the best one here, or POLYVEC_KERNEL's.
        options: how to encode; or its fields, each as an argument. precision is "fp32", "int8" or "auto".

    Raises:
        InputError: for an option that the model cannot follow.
        NotNativeError: for a model or an option that needs torch.
        ModelError: for a folder that cannot be read as a model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        kernel: str = "",
        options: EncoderOptions | None = None,
        **fields: Any,
    ) -> None:
        self.options = EncoderOptions(**fields) if options is None else options
        located = locate(model)
        spec = read_spec(located)
        apply_options(spec, self.options)
        self.layout = layout_of(spec, self.options)
        self.precision = native_precision(self.options.precision, spec)
        self._forward: NativeForward = native_forward(spec, self.options, int8=self.precision == "int8", kernel=kernel)
        self._tokens = TextTokenizer(spec.tokenizer, self.layout)
        self.located = located
        self.name: str = located.name
        self.dim: int = spec.dim
        self.fingerprint: str = native_fingerprint(spec, self)
        self._named = portable_name(located)
        self.description = describe(spec)
        self.poolings = spec.poolings

    @property
    def tokens(self) -> TextTokenizer:
        """The tokenizer with the model's layout."""
        return self._tokens

    @property
    def forward(self) -> NativeForward:
        """The forward pass."""
        return self._forward

    def settings(self) -> dict[str, Any]:
        """Keyword arguments, as plain JSON values, with which an encoder makes the same vectors."""
        return {"model": self._named, **self.options.of_vectors()}

    def pool(self, encoded: Encoded, task: str) -> Encoded:
        """Merge similar vectors of one text, where the model or an option says so."""
        return pool(encoded, task, self.poolings)

    def _pools(self, task: str) -> bool:
        return any(pooling.applies_to(task) for pooling in self.poolings)


def native_precision(wanted: str | None, spec: Spec) -> str:
    """The arithmetic of the linear layers. None and auto: int8 where weights are stored so, as polyvec-mini's are, else fp32."""
    if wanted not in (None, "fp32", "int8", "auto"):
        raise InputError(
            f"precision={wanted!r}: the native encoder computes in fp32 or int8; {wanted} needs backend='torch'."
        )
    if wanted is None or wanted == "auto":
        return "int8" if any(weight.packed for weight in spec.weights.values()) else "fp32"
    return wanted


def native_forward(spec: Spec, options: EncoderOptions, *, int8: bool, kernel: str = "") -> NativeForward:
    """The forward pass of a spec, its weights packed for the kernels."""
    name, vocabulary = spec.located.name, spec.architecture.vocabulary
    try:
        kernel = _native.encoder_kernel(kernel)
    except ValueError as error:
        given = f"kernel={kernel!r}" if kernel else f"POLYVEC_KERNEL={os.environ.get('POLYVEC_KERNEL')!r}"
        there = ", ".join(_native.encoder_kernels())
        raise InputError(f"{given}: not a kernel of this processor, which has {there}.") from error
    highest = spec.tokenizer.highest_id
    if highest >= vocabulary:
        raise ModelError(f"{name}: its tokenizer has tokens up to {highest}, but the model has rows for {vocabulary}.")
    projections = [head.sizes[head.active] for head in spec.heads]
    backbone = build_backbone(spec.architecture, spec.weights, projections, name, int8=int8, kernel=kernel)
    threads = options.threads or default_threads()
    return NativeForward(backbone, spec.architecture, spec.bigrams_of(spec.dim), threads, name)


def describe(spec: Spec) -> ModelDescription:
    """The model of a spec in words."""
    architecture, width, steps = spec.architecture, spec.architecture.hidden, []
    for head in spec.heads:
        used = head.sizes[head.active]
        if head.kind == "MatryoshkaHeads":
            steps.append(heads_in_words(list(head.sizes), head.active))
        else:
            residual = used.identity or used.residual is not None
            steps.append(layer_in_words(width, head.active, residual=residual))
        width = head.active
    bigrams = spec.bigrams_of(spec.dim)
    steps += [] if bigrams is None else [bigrams_in_words(bigrams.weight)]
    projections = [one for head in spec.heads for one in head.sizes.values()]
    arrays = [array for one in projections for array in (one.weight, one.bias, one.residual) if array is not None]
    stored = sum(math.prod(weight.shape) for name, weight in spec.weights.items() if not is_unused(name))
    return ModelDescription(
        kind=spec.kind,
        folder=spec.located.folder,
        architecture="jina_embeddings_v3" if spec.kind == "jina" else str(spec.config.get("model_type")),
        layers=architecture.layers,
        hidden=architecture.hidden,
        parameters=stored + sum(array.size for array in arrays),
        rotary_bases=architecture.rotary_bases,
        vocabulary=len(spec.tokenizer),
        projection=tuple(steps),
        unusual=tuple(spec.unusual),
    )


def native_fingerprint(spec: Spec, encoder: NativeEncoder) -> str:
    """The name of the vectors that this encoder makes of documents."""
    bigrams = spec.bigrams_of(spec.dim)
    settings = vector_settings(
        encoder.layout,
        dim=spec.dim,
        projection=[(head.kind, head.active) for head in spec.heads],
        pooling=[pooling.settings() for pooling in spec.poolings],
        bigrams=None if bigrams is None else {"weight": bigrams.weight, "special_ids": list(bigrams.special_ids)},
    )
    probe = spec.tokenizer.encode(PROBE)
    return fingerprint_of(spec.located.folder, spec.config, probe, len(spec.tokenizer), settings)
