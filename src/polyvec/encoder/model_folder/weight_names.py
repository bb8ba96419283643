"""Names of weights: those in a folder's files, and whether a model found all of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from polyvec.encoder.model_folder.files import read_object
from polyvec.encoder.model_folder.tensors import read_tensors
from polyvec.errors import ModelError

_UNUSED = re.compile(r"(^|\.)(pooler|cls|lm_head|head|decoder|classifier|predictions)\.|(^|\.)position_ids$")
_PREFIXES = re.compile(
    r"^(bert|roberta|camembert|model|encoder_model)\.(?=embeddings\.|encoder\.|layers\.|emb_ln\.|final_norm\.|pooler\.)"
)
_OLD_NORMS = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
_SHOWN = 6


def safetensors_names(folder: Path) -> list[str]:
    """Names of the weights in a folder's own safetensors files; the values are not read.

    Raises:
        ModelError: A file is broken.
    """
    return [name for path in sorted(folder.glob("*.safetensors")) for name in read_tensors(path)]


def parts_named(folder: Path) -> set[str]:
    """Names of the safetensors files that the index of a model in several parts lists; none where there is no index."""
    places = read_object(folder / "model.safetensors.index.json").get("weight_map")
    return {str(part) for part in places.values()} if isinstance(places, dict) else set()


def is_unused(name: str) -> bool:
    """Whether a weight belongs to a part of published checkpoints that token vectors do not come from."""
    return _UNUSED.search(name) is not None


def check_names(where: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Check that weights and model fit each other, but for parts that token vectors do not come from.

    Args:
        where: Name of the model, for the message.
        missing: Names that the model has and the files lack.
        unexpected: Names that the files have and the model lacks.

    Raises:
        ModelError: One is missing or left over.
    """
    lost = sorted(name for name in missing if not is_unused(name))
    left = sorted(name for name in unexpected if not is_unused(name))
    if lost or left:
        parts = [f"{len(lost)} missing ({_some(lost)})"] if lost else []
        parts += [f"{len(left)} left over ({_some(left)})"] if left else []
        raise ModelError(f"The weights of {where} do not fit its configuration: {'; '.join(parts)}.")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def plain_name(name: str) -> str:
    """A weight's name without what some writers put before and after it."""
    name = _PREFIXES.sub("", name)
    for old, new in _OLD_NORMS:
        name = name.replace(old, new)
    return name
