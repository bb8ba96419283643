"""What is told about a loaded model: where it is from, how it is built. The same for every backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from polyvec.encoder.model_folder.kind import Kind


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model in words.

    Attributes:
        kind: Who wrote its folder.
        folder: Where it lies.
        architecture: model_type of its configuration.
        layers: Number of layers.
        hidden: Dimensions of a hidden state.
        parameters: Number of weights, projections included.
        rotary_bases: Of its rotary positions; empty for a table of absolute positions.
        vocabulary: Number of tokens.
        projection: Its steps from hidden states to vectors, in words.
        unusual: What a user should know about the folder, a sentence each.
    """

    kind: Kind
    folder: Path
    architecture: str
    layers: int
    hidden: int
    parameters: int
    rotary_bases: tuple[float, ...]
    vocabulary: int
    projection: tuple[str, ...]
    unusual: tuple[str, ...] = field(default=())


def heads_in_words(sizes: list[int], active: int) -> str:
    """Matryoshka heads."""
    return f"heads {', '.join(map(str, sizes))}, in use {active}"


def layer_in_words(inputs: int, outputs: int, *, residual: bool) -> str:
    """A linear layer."""
    return f"{inputs} -> {outputs}{' with residual' if residual else ''}"


def bigrams_in_words(weight: float) -> str:
    """Hashed bigrams."""
    return f"hashed bigrams, weight {weight:g}"
