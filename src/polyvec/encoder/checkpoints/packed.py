"""A native model folder <-> the same folder at a quarter of its size: matrices in int8, the rest in fp16.

What ships inside the package. A row of a matrix is int8 times a scale of its own; files stay below 20 MB. Knows nothing
about heads or settings: their files are copied as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.atomic import staged
from polyvec.encoder.checkpoints.convert import save_native
from polyvec.encoder.model_folder.weight_names import check_names
from polyvec.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from polyvec.encoder.torch.loaded import Loaded

_PART = "packed-{:05d}.safetensors"
_PART_BYTES = 18_000_000
_LEAST_ROWS = 64  # smaller matrices are not worth scales
_SCALE = ".scale"


def is_packed(folder: Path) -> bool:
    """Whether a model folder holds packed weights."""
    return (folder / _PART.format(1)).is_file()


def save_packed(loaded: Loaded, folder: Path) -> None:
    """Write a loaded model as a packed folder, whole or not at all. Raises StorageError where something is in the way."""
    from safetensors.torch import save_file

    with staged(folder) as staging:
        staging.rmdir()
        save_native(loaded, staging)
        for path in staging.glob("model*.safetensors*"):
            path.unlink()
        part: dict[str, Tensor] = {}
        number, size = 1, 0
        for name, tensor in _pieces(loaded.model[0].model.state_dict()):
            if part and size + tensor.nbytes > _PART_BYTES:
                save_file(part, staging / _PART.format(number))
                part, number, size = {}, number + 1, 0
            part[name] = tensor
            size += tensor.nbytes
        save_file(part, staging / _PART.format(number))
        for path in staging.rglob("*.safetensors"):
            path.chmod(0o644)


def _pieces(state: dict[str, Tensor]) -> Any:
    """Name and tensor of everything that is stored; matrices in slices of rows, each with its scales."""
    import torch

    for name, tensor in state.items():
        if tensor.ndim != 2 or len(tensor) < _LEAST_ROWS:
            yield name, tensor.half() if tensor.is_floating_point() else tensor
            continue
        scale = (tensor.float().abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-12)
        codes = torch.round(tensor.float() / scale).to(torch.int8)
        rows = max(1, _PART_BYTES // (tensor.shape[1] + 4))
        for start in range(0, len(codes), rows):
            yield f"{name}@{start}", codes[start : start + rows].contiguous()
            yield f"{name}@{start}{_SCALE}", scale[start : start + rows].contiguous()


def unpacked_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a packed folder, float32. Raises ModelError where a part is missing."""
    import torch
    from safetensors.torch import load_file

    stored: dict[str, Tensor] = {}
    for path in sorted(folder.glob(_PART.format(0).replace("00000", "*"))):
        stored |= load_file(path)
    state: dict[str, Tensor] = {}
    slices: dict[str, dict[int, Tensor]] = {}
    for name, tensor in stored.items():
        if name.endswith(_SCALE):
            continue
        whole, _, start = name.partition("@")
        if not start:
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
            continue
        if name + _SCALE not in stored:
            raise ModelError(f"{folder} is not whole: the scales of {name} are missing. Install polyvec again.")
        slices.setdefault(whole, {})[int(start)] = tensor.float() * stored[name + _SCALE]
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
