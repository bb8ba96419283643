"""polyvec cluster build: what it prints, and its errors, with every task in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyvec.cli import main
from tests.cluster.builds import Here, here, rows, write_lines

__all__ = ["here"]


def test_it_builds_and_says_so(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(30))
    command = ["cluster", "build", str(docs), "--shards", "2", "--dim", "32", "--nbits", "2"]
    assert main([*command, str(tmp_path / "shards")]) == 0
    assert "2 shards: 30 documents" in capsys.readouterr().out
    assert main([*command, (tmp_path / "bucket").as_uri(), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["version"], printed["documents"], printed["shards"]) == (1, 30, 2)
    assert main(["info", str(tmp_path / "shards"), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["shards"], info["dim"], info["nbits"]) == (2, 32, 2)


def test_errors_are_one_line(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", [*rows(30), {"id": "x"}])
    for words, code in [
        ([str(docs), str(tmp_path / "shards")], 2),
        ([str(docs), str(tmp_path / "shards"), "--shards", "65"], 2),
        ([str(tmp_path / "nowhere"), str(tmp_path / "shards")], 2),
        ([str(docs)], 2),
        ([str(docs), str(tmp_path)], 1),
    ]:
        assert main(["cluster", "build", *words]) == code
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_notes_of_ray_are_no_results(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = write_lines(tmp_path / "docs.jsonl", rows(30))

    def note(what: str) -> None:
        print("(raylet) a machine is gone")

    here.cut = note
    assert main(["-v", "cluster", "build", str(docs), str(tmp_path / "shards"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["documents"] == 30
    assert "Ray: (raylet) a machine is gone" in shown.err


def test_the_family_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "--help"]) == 0
    assert "build" in capsys.readouterr().out
    assert main(["cluster", "bild"]) == 2
    assert "No such command 'bild'" in capsys.readouterr().err


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("polyvec.cluster.ray_session.find_spec", lambda name: None)
    docs = write_lines(tmp_path / "docs.jsonl", rows(3))
    assert main(["cluster", "build", str(docs), str(tmp_path / "shards")]) == 1
    said = capsys.readouterr().err
    assert "pip install 'polyvec[ray]'" in said
    assert len(said.splitlines()) == 1
