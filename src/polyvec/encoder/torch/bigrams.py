"""A token and the one before it, hashed into the token's vector: exact words beside meaning, in the same MaxSim.

A small model knows few of the words of a hundred languages, and its vectors of those it does not know say little. A hash of two
neighboring tokens says which they are in any language, needs no training and no room, and matches rarely by chance, so
that frequent words weigh little. Feature hashing with random signs: Weinberger et al., 2009. A sentence-transformers module:
it stands behind the projection, and is saved in and loaded from an ordinary model folder, which names it by its public
path, polyvec.modules.HashedBigrams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor

_BITS = 64


class HashedBigrams(Module):  # type: ignore[misc]  # sentence-transformers has no type stubs
    """Adds `weight` times a unit vector of pseudo-random signs to every unit token vector.

    The signs depend on the token's id and the one before it, and on nothing else: any length of vector takes the first of
    them.

    Args:
        weight: Positive; .65 makes the bigram .3 of the similarity of equal tokens.
        special_ids: Tokens that get none, and after which a token counts as a first one. Every sequence has to begin with
            one of these.
        weight_at: Other weights for vectors of some sizes, {"64": .2}: two hashes differ less surely in fewer dimensions.

    Raises:
        ValueError: A weight is not positive.
    """

    __module__ = "polyvec.modules"  # what saved folders name, wherever this file lies
    config_keys: ClassVar[list[str]] = ["weight", "special_ids", "weight_at"]

    def __init__(self, weight: float, special_ids: Sequence[int], weight_at: Mapping[str, float] | None = None) -> None:
        super().__init__()
        for one in (weight, *(weight_at or {}).values()):
            if not 0 < one < float("inf"):
                raise ValueError(f"weight={one}: expected a positive number.")
        self.weight = float(weight)
        self.weight_at = {str(int(dim)): float(one) for dim, one in (weight_at or {}).items()}
        self.special_ids = sorted(set(special_ids))
        self.register_buffer("_special", torch.tensor(self.special_ids, dtype=torch.long), persistent=False)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add to "token_embeddings", (..., t, dim), what "input_ids", (..., t), says. The sum is not normalized."""
        features["token_embeddings"] = self.added(features["token_embeddings"], features["input_ids"])
        return features

    def added(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """(..., t, dim) vectors of any length and (..., t) ids -> vectors made unit, and the bigrams added."""
        unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
        return unit + self.weight_of(vectors.shape[-1]) * self.signs(ids, vectors.shape[-1])

    def weight_of(self, dim: int) -> float:
        """The weight in vectors of this size."""
        return self.weight_at.get(str(dim), self.weight)

    def signs(self, ids: Tensor, dim: int) -> Tensor:
        """(..., t) token ids -> (..., t, dim) float32 unit vectors of their bigrams; zeros for special tokens."""
        special = torch.isin(ids, self._special)
        before = torch.roll(ids, 1, dims=-1).masked_fill(torch.roll(special, 1, dims=-1), -1)
        before[..., 0] = -1
        words = (before << 32) ^ ids
        places = torch.arange(_BITS, device=ids.device)
        parts = [(_mixed(words + number)[..., None] >> places) & 1 for number in range(-(-dim // _BITS))]
        bits = torch.cat(parts, dim=-1)[..., :dim]
        found: Tensor = ((bits * 2 - 1).float() / dim**0.5).masked_fill(special[..., None], 0.0)
        return found

    def in_vectors(self, dim: int) -> dict[str, Any]:
        """What the bigrams in vectors of this size depend on."""
        return {"weight": self.weight_of(dim), "special_ids": self.special_ids}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write config.json into a folder; there are no weights."""
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> HashedBigrams:
        """Read the folder that `save` wrote."""
        places = {key: kwargs.get(key) for key in ("token", "cache_folder", "revision")}
        places |= {"subfolder": subfolder, "local_files_only": kwargs.get("local_files_only", False)}
        return cls(**cls.load_config(model_name_or_path, **places))


def _mixed(words: Tensor) -> Tensor:
    """int64 -> int64 whose bits all depend on all of the input's: a step of SplitMix64 (Steele et al., 2014)."""
    z = words * -0x61C8864680B583EB + 0x1E3779B97F4A7C15
    z = (z ^ _shifted(z, 30)) * -0x40A7B892E31B1A47
    z = (z ^ _shifted(z, 27)) * -0x6B2FB644ECCEEE15
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, places: int) -> Tensor:
    """A logical shift to the right; torch's own repeats the sign."""
    return (z >> places) & ((1 << (_BITS - places)) - 1)
