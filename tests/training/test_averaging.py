from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from polyvec import Encoder
from polyvec.errors import InputError
from polyvec.training.averaging import average


def moved(world: Path, folder: Path, scale: float) -> Path:
    """The world's model with every weight scaled."""
    shutil.copytree(world / "model", folder)
    for path in folder.rglob("*.safetensors"):
        save_file({key: value * scale for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("share", "scale"), [(0.0, 1.0), (0.25, 1.5), (1.0, 3.0)])
def test_weights_lie_between(world: Path, tmp_path: Path, share: float, scale: float) -> None:
    average(world / "model", moved(world, tmp_path / "after", 3.0), tmp_path / "out", share=share)
    paths = list((world / "model").rglob("*.safetensors"))
    assert len(paths) == 2  # layers and heads
    for path in paths:
        found, old = load_file(tmp_path / "out" / path.relative_to(world / "model")), load_file(path)
        assert found.keys() == old.keys()
        for key, value in found.items():
            torch.testing.assert_close(value, old[key] * scale)
    assert np.isfinite(Encoder(tmp_path / "out").encode_query("licht")).all()


def test_what_cannot_be_averaged(world: Path, tmp_path: Path) -> None:
    after = moved(world, tmp_path / "after", 1.0)
    with pytest.raises(InputError, match=r"share=1\.5"):
        average(world / "model", after, tmp_path / "out", share=1.5)
    with pytest.raises(InputError, match="no such file or folder"):
        average(world / "model", tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no unpacked weights"):
        average(world / "model", tmp_path / "nothing", tmp_path / "out")
    heads = next(path for path in after.rglob("*.safetensors") if path.parent != after)
    weights = load_file(heads)
    save_file({key: value[:4].contiguous() for key, value in weights.items()}, heads, metadata={"format": "pt"})
    with pytest.raises(InputError, match="differ in the shape of"):
        average(world / "model", after, tmp_path / "out")
    assert not (tmp_path / "out").exists()
