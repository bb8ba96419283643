"""Saved models name polyvec's modules by a path that stays; folders that name the earlier paths still load."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from polyvec import Encoder
from tests.encoder.toy_checkpoints import make_plain

TEXTS = ["a token for every word", "zwei Wörter"]
PUBLIC = ["polyvec.modules.MatryoshkaHeads", "polyvec.modules.HashedBigrams"]
EARLIER = ["polyvec.encoder.heads.MatryoshkaHeads", "polyvec.encoder.bigrams.HashedBigrams"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_plain(tmp_path / "plain")
    Encoder(tmp_path / "plain", heads=(8, 16), bigrams=0.3).save(tmp_path / "saved")
    return tmp_path / "saved"


def own_types(folder: Path) -> list[str]:
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return [module["type"] for module in modules if module["type"].startswith("polyvec.")]


def test_saved_folders_name_the_public_path(folder: Path) -> None:
    assert own_types(folder) == PUBLIC


@pytest.mark.parametrize("path", [*PUBLIC, *EARLIER])
def test_every_path_is_the_same_class(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is getattr(importlib.import_module("polyvec.modules"), name)


def test_a_folder_with_the_earlier_paths_makes_the_same_vectors(folder: Path) -> None:
    expected = Encoder(folder).encode_document(TEXTS)
    text = (folder / "modules.json").read_text(encoding="utf-8")
    for public, earlier in zip(PUBLIC, EARLIER, strict=True):
        text = text.replace(public, earlier)
    (folder / "modules.json").write_text(text, encoding="utf-8")
    assert own_types(folder) == EARLIER
    for found, wanted in zip(Encoder(folder).encode_document(TEXTS), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
