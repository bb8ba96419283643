"""Untied Matryoshka heads: one hidden state a token -> vectors of any of several sizes.

Each size has its own linear layer, trained jointly; slicing one large head is clearly worse. One head is active at a
time. A sentence-transformers module: it is saved in and loaded from an ordinary model folder, which names it by its
public path, polyvec.modules.MatryoshkaHeads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn


class MatryoshkaHeads(Module):  # type: ignore[misc]  # sentence-transformers has no type stubs
    """Several linear heads without bias on the same hidden states.

    Args:
        in_features: Size of the hidden states.
        sizes: Of the heads, in any order.
        active: The head that `forward` uses; the largest by default.

    Raises:
        ValueError: There are no sizes, one is given twice, or the active one has no head.
    """

    __module__ = "polyvec.modules"  # what saved folders name, wherever this file lies
    config_keys: ClassVar[list[str]] = ["in_features", "sizes", "active"]

    def __init__(self, in_features: int, sizes: Sequence[int], active: int | None = None) -> None:
        super().__init__()
        if not sizes or len(set(sizes)) != len(sizes) or min(sizes) < 1:
            raise ValueError(f"sizes={list(sizes)}: expected different sizes of at least 1.")
        self.in_features = in_features
        self.sizes = sorted(sizes)
        self.heads = nn.ModuleDict({str(size): nn.Linear(in_features, size, bias=False) for size in self.sizes})
        self.active = max(self.sizes) if active is None else active

    @property
    def active(self) -> int:
        """Size of the vectors that `forward` makes."""
        return self._active

    @active.setter
    def active(self, size: int) -> None:
        if size not in self.sizes:
            raise ValueError(f"active={size}: there are heads of {', '.join(map(str, self.sizes))}.")
        self._active = size

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace the hidden states in "token_embeddings", (..., in_features), by (..., active) vectors."""
        features["token_embeddings"] = self.project(features["token_embeddings"], self.active)
        return features

    def project(self, hidden: Tensor, size: int) -> Tensor:
        """(..., in_features) hidden states -> (..., size) vectors of one head, not normalized."""
        projected: Tensor = self.head(size)(hidden)
        return projected

    def head(self, size: int) -> nn.Linear:
        """The linear layer of one size."""
        return cast(nn.Linear, self.heads[str(size)])

    def project_all(self, hidden: Tensor) -> dict[int, Tensor]:
        """The vectors of every head by size, for a loss over all of them."""
        return {size: self.project(hidden, size) for size in self.sizes}

    def set_weight(self, size: int, weight: Tensor) -> None:
        """Take a (size, in_features) weight from a checkpoint.

        Raises:
            ValueError: It has another shape.
        """
        if tuple(weight.shape) != (size, self.in_features):
            raise ValueError(f"head {size} has shape {tuple(weight.shape)}, expected {(size, self.in_features)}.")
        with torch.no_grad():
            self.head(size).weight.copy_(weight)

    def get_embedding_dimension(self) -> int:
        """The active size: sentence-transformers' name for it."""
        return self.active

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write config.json and every head's weights into a folder."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> MatryoshkaHeads:
        """Read the folder that `save` wrote.

        Raises:
            RuntimeError: The weights do not fit.
        """
        places = {key: kwargs.get(key) for key in ("token", "cache_folder", "revision")}
        places |= {"subfolder": subfolder, "local_files_only": kwargs.get("local_files_only", False)}
        config = cls.load_config(model_name_or_path, **places)
        heads = cls(config["in_features"], config["sizes"], config.get("active"))
        loaded: MatryoshkaHeads = cls.load_torch_weights(model_name_or_path, model=heads, **places)
        return loaded
