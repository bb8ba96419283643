"""Packed folders: the same model at a quarter of its size, or a clear line about what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from polyvec.encoder import Encoder
from polyvec.encoder.checkpoints.packed import save_packed, unpacked_weights
from polyvec.encoder.locate import DEFAULT_NAME, locate
from polyvec.encoder.model_folder.packing import is_packed, save_packed_copy
from polyvec.errors import InputError, ModelError, StorageError

TEXTS = ["Warum ist der Himmel blau?", "光合作用", "Iron makes Mars red."]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, unpacked."""
    folder = tmp_path_factory.mktemp("packed") / "native"
    Encoder(precision="fp32").save(folder)
    return folder


def test_the_default_model_is_packed_small_and_in_files_that_travel() -> None:
    folder = locate(None).folder
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert is_packed(folder)
    assert locate(DEFAULT_NAME).folder == folder
    assert sum(sizes) <= 50 * 2**20
    assert max(sizes) < 20_000_000


def test_packing_again_keeps_every_vector(native: Path, tmp_path: Path) -> None:
    whole = Encoder(native)
    save_packed(whole.loaded, tmp_path / "packed")
    packed = Encoder(tmp_path / "packed", precision="fp32")
    assert (packed.dim, packed.document_length) == (whole.dim, whole.document_length)
    for mine, theirs in zip(packed.encode_document(TEXTS), whole.encode_document(TEXTS), strict=True):
        assert (mine * theirs).sum(axis=1).min() > 0.9995
    assert sum(p.stat().st_size for p in (tmp_path / "packed").rglob("*")) < 0.45 * sum(
        p.stat().st_size for p in native.rglob("*")
    )


def test_weights_that_were_never_in_eight_bits_lose_next_to_nothing(native: Path, tmp_path: Path) -> None:
    moved = Encoder(native)
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in moved.model[0].model.parameters():
            weight.mul_(1 + 0.02 * torch.randn(weight.shape, generator=chance))
    moved.save(tmp_path / "moved")
    whole = Encoder(tmp_path / "moved", precision="fp32")
    save_packed(whole.loaded, tmp_path / "packed")
    for mine, theirs in zip(
        Encoder(tmp_path / "packed", precision="fp32").encode_document(TEXTS), whole.encode_document(TEXTS), strict=True
    ):
        agreement = (mine * theirs).sum(axis=1)
        assert 0.999 < agreement.min() < 1 - 1e-6


def test_every_head_travels(native: Path, tmp_path: Path) -> None:
    save_packed(Encoder(native).loaded, tmp_path / "packed")
    for dim in (32, 64, 96, 128):
        vectors = Encoder(tmp_path / "packed", dim=dim, precision="fp32").encode_query("a question")
        assert vectors.shape[1] == dim
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_missing_part_is_one_clear_line(native: Path, tmp_path: Path) -> None:
    save_packed(Encoder(native).loaded, tmp_path / "packed")
    (tmp_path / "packed" / "packed-00002.safetensors").unlink()
    with pytest.raises(ModelError) as caught:
        Encoder(tmp_path / "packed", precision="fp32")
    assert "\n" not in str(caught.value)


def test_a_folder_in_the_way_is_left_alone(native: Path) -> None:
    with pytest.raises(StorageError, match="native"):
        save_packed(Encoder(native).loaded, native)
    assert not is_packed(native)


def test_tables_come_back_within_half_a_step(native: Path) -> None:
    original = Encoder(native).model[0].model.state_dict()
    name = next(name for name in original if name.endswith("word_embeddings.weight"))
    table, unpacked = original[name].numpy(), unpacked_weights(locate(None).folder)[name].numpy()
    step = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(table - unpacked) <= step / 2 + 1e-6).all()


def test_packing_a_folder_is_packing_the_model_in_it(native: Path, tmp_path: Path) -> None:
    """Without torch from the folder's files, or with it from the loaded model: the same files."""
    source = tmp_path / "source"
    shutil.copytree(native, source)
    (source / "onnx").mkdir()
    (source / "pytorch_model.bin").write_bytes(b"the same once more")
    save_packed_copy(source, tmp_path / "copy")
    save_packed(Encoder(native).loaded, tmp_path / "model")
    paths = {path.relative_to(tmp_path / "model") for path in (tmp_path / "model").rglob("*")}
    assert {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*")} == paths
    for path in paths:
        if path.suffix == ".safetensors":
            assert (tmp_path / "copy" / path).read_bytes() == (tmp_path / "model" / path).read_bytes(), path
    with pytest.raises(InputError, match="is packed already"):
        save_packed_copy(tmp_path / "copy", tmp_path / "again")
    with pytest.raises(ModelError, match="holds no weights"):
        save_packed_copy(tmp_path / "source" / "onnx", tmp_path / "again")
    assert not (tmp_path / "again").exists()
