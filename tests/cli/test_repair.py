"""`polyvec repair` says what will be lost before it does anything; `polyvec copy` makes an index of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyvec import Index
from polyvec.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two segments of vectors only."""
    rows = np.random.default_rng(0).standard_normal((60, 3, 8)).astype(np.float32)
    arrays = list(rows / np.linalg.norm(rows, axis=2, keepdims=True))
    with Index.create(tmp_path / "i", dim=8, nbits=16) as index:
        index.add_vectors([f"a{i}" for i in range(50)], arrays[:50])
        index.add_vectors([f"b{i}" for i in range(10)], arrays[50:])
    return tmp_path / "i"


def blank(path: Path, begin: int, end: int) -> None:
    segment = sorted((path / "segments").iterdir())[0]
    content = bytearray(segment.read_bytes())
    content[begin:end] = bytes(end - begin)
    segment.write_bytes(content)


def test_what_will_be_lost_is_said_first(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank(path, 4096, 4096 + 2 * 3 * 8 * 2)  # the vectors of the first two documents
    damaged = {file.name: file.read_bytes() for file in (path / "segments").iterdir()}
    assert main(["repair", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "a0 is lost" in out
    assert "a1 is lost" in out
    assert "48 documents from a2 to a49 are kept" in " ".join(out.split())
    assert "nothing was changed" in out
    assert damaged == {file.name: file.read_bytes() for file in (path / "segments").iterdir()}
    assert main(["repair", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["lost"] == ["a0", "a1"]
    assert [Path(file).parent.name for file in report["moved"]] == ["damaged"]
    assert Path(report["moved"][0]).read_bytes() in damaged.values()
    assert main(["verify", str(path)]) == 0
    with Index.open(path) as index:
        assert len(index) == 58
        assert index.info()["damaged_files"] == 1
    capsys.readouterr()
    assert main(["repair", str(path)]) == 0
    assert "nothing was wrong" in capsys.readouterr().out


def test_copy(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", str(path), str(tmp_path / "copy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size_bytes"] > 0
    with Index.open(tmp_path / "copy") as copy:
        assert copy.verify() == []
        assert len(copy) == 60
    assert main(["copy", str(path), str(tmp_path / "copy")]) == 1
    assert "an index is there already" in capsys.readouterr().err
    assert main(["copy", str(path), str(tmp_path / "other"), "--hard-links"]) == 0
    assert "every checksum is right" in " ".join(capsys.readouterr().out.split())
