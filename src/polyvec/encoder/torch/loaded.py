"""What loading a checkpoint gives: the model, where it came from, who wrote its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polyvec.encoder.locate import Located
from polyvec.encoder.model_folder.kind import Kind

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


@dataclass(slots=True)
class Loaded:
    """A model, who wrote its folder, and what was unusual about it."""

    model: MultiVectorEncoder
    located: Located
    kind: Kind
    unusual: list[str] = field(default_factory=list)
