"""The script that unpacks the checkpoint polyvec-mini begins with, on a file of the same layout."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

SCRIPT = Path(__file__).parents[2] / "recipes" / "multilingual_e5.py"
PIECES = [
    ("<s>", 0.0),
    ("<pad>", 0.0),
    ("</s>", 0.0),
    ("<unk>", 0.0),
    ("▁licht", -2.0),
    ("▁", -3.0),
    ("l", -4.0),
    ("光", -5.0),
]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("multilingual_e5", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(values: np.ndarray[Any, Any]) -> tuple[bytes, np.ndarray[Any, Any]]:
    """Values as 4-bit blocks of 32, and what these say."""
    rows = values.reshape(-1, 32)
    scales = (np.abs(rows).max(axis=1) / 7).astype(np.float16)
    codes = np.clip(np.round(rows / scales.astype(np.float32)[:, None]) + 8, 0, 15).astype(np.uint8)
    packed = b"".join(s.tobytes() + (c[:16] | c[16:] << 4).tobytes() for s, c in zip(scales, codes, strict=True))
    return packed, ((codes.astype(np.float32) - 8) * scales.astype(np.float32)[:, None]).reshape(values.shape)


def packed_file(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write a model of one layer, 32 wide; returns what each tensor means."""
    draw = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (12, 32), "emb.pos": (16, 32), "emb.type": (2, 32), "emb.ln.w": (32,), "emb.ln.b": (32,),
        "l0.fi.w": (64, 32), "l0.fi.b": (64,), "l0.fo.w": (32, 64), "l0.fo.b": (32,),
    }  # fmt: skip
    for name in ("q", "k", "v", "ao"):
        shapes |= {f"l0.{name}.w": (32, 32), f"l0.{name}.b": (32,)}
    for name in ("aln", "oln"):
        shapes |= {f"l0.{name}.w": (32,), f"l0.{name}.b": (32,)}
    meant, stored = {}, {}
    for name, shape in shapes.items():
        values = draw.standard_normal(shape).astype(np.float32)
        whole = not name.endswith(".w") or "ln" in name
        in_blocks = name == "emb.word" or not (whole or name.startswith("emb"))
        stored[name], meant[name] = blocks(values) if in_blocks else (values.tobytes(), values)
    text = [piece.encode() for piece, _ in PIECES]
    ends = np.cumsum([0, *map(len, text)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, 32, 1, 2, 64, 12, 16, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1])) + ends.tobytes()
    head += np.array([score for _, score in PIECES], "<f4").tobytes() + b"".join(text) + struct.pack("<iI", 0, 0)
    length = len(head) + 4 + sum(2 + len(name) + 21 for name in stored)
    directory, at = struct.pack("<i", len(stored)), length
    for name, data in stored.items():
        directory += struct.pack(f"<H{len(name)}sBIQQ", len(name), name.encode(), 0, meant[name].size, at, len(data))
        at += len(data)
    path.write_bytes(head + directory + b"".join(stored.values()))
    return meant


def test_weights_and_pieces_come_out_as_they_are(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meant = packed_file(tmp_path / "small.bin")
    monkeypatch.setattr(sys, "argv", ["multilingual_e5.py", str(tmp_path / "small.bin"), str(tmp_path / "out")])
    script.main()
    assert "8 pieces" in capsys.readouterr().out
    state = AutoModel.from_pretrained(str(tmp_path / "out"), add_pooling_layer=False).state_dict()
    for name, key in (
        ("emb.word", "embeddings.word_embeddings.weight"),
        ("emb.ln.b", "embeddings.LayerNorm.bias"),
        ("l0.v.w", "encoder.layer.0.attention.self.value.weight"),
        ("l0.fo.w", "encoder.layer.0.output.dense.weight"),
        ("l0.oln.w", "encoder.layer.0.output.LayerNorm.weight"),
    ):
        torch.testing.assert_close(state[key], torch.from_numpy(meant[name]), rtol=0, atol=0)
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert tokenizer.tokenize("licht  光") == ["▁licht", "▁", "光"]
    assert tokenizer("licht")["input_ids"] == [0, 4, 2]


def test_another_file_is_refused(script: Any, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(SystemExit, match="is not the file"):
        script.read(tmp_path / "a.bin")
