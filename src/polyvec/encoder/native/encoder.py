"""The encoder on native kernels: texts in, token vectors out, without torch.

Joins a folder's spec, its tokenizer, batching and the native forward pass. Vectors, settings and fingerprint are those of
`polyvec.encoder.Encoder`.
"""

from __future__ import annotations

import os
from typing import Any

from polyvec import _native
from polyvec.encoder.fingerprint import PROBE, fingerprint_of
from polyvec.encoder.locate import locate, portable_name
from polyvec.encoder.native.forward import NativeForward
from polyvec.encoder.native.layout import apply_options, layout_of
from polyvec.encoder.native.spec import Spec, read_spec
from polyvec.encoder.native.weights import build_backbone
from polyvec.encoder.options import EncoderOptions
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
        self.unusual = spec.unusual

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
        raise InputError(f"kernel={kernel!r}: {error}.") from error
    highest = max(spec.tokenizer.get_vocab().values(), default=0)
    if highest >= vocabulary:
        raise ModelError(f"{name}: its tokenizer has tokens up to {highest}, but the model has rows for {vocabulary}.")
    projections = [head.sizes[head.active] for head in spec.heads]
    backbone = build_backbone(spec.architecture, spec.weights, projections, name, int8=int8, kernel=kernel)
    threads = options.threads or default_threads()
    return NativeForward(backbone, spec.architecture, spec.bigrams_of(spec.dim), threads, name)


def native_fingerprint(spec: Spec, encoder: NativeEncoder) -> str:
    """The name of the vectors that this encoder makes of documents."""
    layout, bigrams = encoder.layout, spec.bigrams_of(spec.dim)
    settings = {
        "dim": spec.dim,
        "projection": [[head.kind, head.active] for head in spec.heads],
        "prompt": layout.document_prompt,
        "document_length": encoder.document_length,
        "skiplist": sorted(layout.document_skip),
        "long_documents": [layout.long_documents, layout.window_overlap] if layout.long_documents != "cut" else "cut",
        "pooling": [],
        **(
            {} if bigrams is None else {"bigrams": {"weight": bigrams.weight, "special_ids": list(bigrams.special_ids)}}
        ),
    }
    probe = spec.tokenizer.encode(PROBE)
    return fingerprint_of(spec.located.folder, spec.config, probe, len(spec.tokenizer), settings)
