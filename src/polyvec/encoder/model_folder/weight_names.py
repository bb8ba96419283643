"""Names of weights: those in a folder's files, and whether a model found all of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from polyvec.encoder.model_folder.tensors import read_tensors
from polyvec.errors import ModelError

# Parts of published checkpoints that token vectors do not come from.
_UNUSED = re.compile(r"(^|\.)(pooler|cls|lm_head|head|decoder|classifier|predictions)\.|(^|\.)position_ids$")
_SHOWN = 6


def safetensors_names(folder: Path) -> list[str]:
    """Names of the weights in a folder's own safetensors files; the values are not read.

    Raises:
        ModelError: A file is broken.
    """
    return [name for path in sorted(folder.glob("*.safetensors")) for name in read_tensors(path)]


def check_names(where: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Check that weights and model fit each other, but for parts that token vectors do not come from.

    Args:
        where: Name of the model, for the message.
        missing: Names that the model has and the files lack.
        unexpected: Names that the files have and the model lacks.

    Raises:
        ModelError: One is missing or left over.
    """
    lost = sorted(name for name in missing if not _UNUSED.search(name))
    left = sorted(name for name in unexpected if not _UNUSED.search(name))
    if lost or left:
        parts = [f"{len(lost)} missing ({_some(lost)})"] if lost else []
        parts += [f"{len(left)} left over ({_some(left)})"] if left else []
        raise ModelError(f"The weights of {where} do not fit its configuration: {'; '.join(parts)}.")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
