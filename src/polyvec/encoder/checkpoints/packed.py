"""A packed folder -> the model in torch. How a folder is packed stands in `polyvec.encoder.model_folder.packing`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.atomic import staged
from polyvec.encoder.checkpoints.convert import save_native
from polyvec.encoder.model_folder.packing import SCALE, pack, packed_parts
from polyvec.encoder.model_folder.weight_names import check_names
from polyvec.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from polyvec.encoder.torch.loaded import Loaded


def save_packed(loaded: Loaded, folder: Path) -> None:
    """Write a loaded model as a packed folder, whole or not at all.

    Raises:
        StorageError: Something is in the way, or the folder cannot be written.
    """
    with staged(folder) as staging:
        staging.rmdir()
        save_native(loaded, staging)
        pack(staging)


def unpacked_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a packed folder, float32.

    Raises:
        ModelError: A part is missing.
    """
    import torch
    from safetensors.torch import load_file

    stored: dict[str, Tensor] = {}
    for path in packed_parts(folder):
        stored |= load_file(path)
    state: dict[str, Tensor] = {}
    slices: dict[str, dict[int, Tensor]] = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE):
            continue
        whole, _, start = name.partition("@")
        if not start:
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
            continue
        if name + SCALE not in stored:
            raise ModelError(f"{folder} is not whole: the scales of {name} are missing. Install polyvec again.")
        slices.setdefault(whole, {})[int(start)] = tensor.float() * stored[name + SCALE]
    for name, parts in slices.items():
        state[name] = torch.cat([parts[start] for start in sorted(parts)])
    return state


def unpacked_backbone(folder: Path, dtype: str) -> tuple[Any, Any]:
    """The configuration and the backbone of a packed folder, every weight accounted for."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    with no_init_weights():
        model = AutoModel.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(unpacked_weights(folder), strict=False)
    check_names(folder.name, missing, unexpected)
    return config, model.to(getattr(torch, dtype)).eval()
