"""train, mine and teach as commands: from questions to a student that was taught, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyvec import Encoder
from polyvec.cli import main
from tests.training.conftest import write_rows
from tests.training.test_trainer import write
from tests.training.toys import values


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def judged(folder: Path) -> Path:
    """Four documents and two questions in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True)
    texts = ["light plants", "sugar world", "question answer", "hello"]
    write_rows(folder / "corpus.jsonl", [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts)])
    write_rows(folder / "queries.jsonl", [{"_id": f"q{i}", "text": text} for i, text in enumerate(texts[:2])])
    qrels = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\n"
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_mined_taught_and_distilled(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (world / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[:24]
    source = write_rows(tmp_path / "rows.jsonl", [{**json.loads(line), "answer": ""} for line in lines])
    mined, scored = tmp_path / "mined.jsonl", tmp_path / "scored.jsonl"
    options = ("--model", world / "model", "--negatives", 3, "--margin", 2, "--json")
    code, out, err = called(capsys, "mine", source, mined, *options)
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    assert report["queries"] == 24
    assert report["negatives"] == 72
    code, out, err = called(capsys, "teach", mined, scored, "--dense", world / "teacher", "--json")
    assert code == 0, err
    assert json.loads(out) == {"rows": 24}
    made = values(world, tmp_path / "out", "distill", checkpoints={"evaluate": str(judged(tmp_path / "judged"))})
    made["data"] = [{"path": str(scored), "kind": "scored"}]
    made["optimizer"]["steps"] = 2
    code, out, err = called(capsys, "train", write(tmp_path / "r.toml", made), "--threads", 1, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["steps"] == 2
    assert [0 <= entry["nDCG@10"] <= 1 for entry in result["history"] if "nDCG@10" in entry] == [True]
    assert Encoder(tmp_path / "out").encode_query("licht").shape[1] == 16
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "stage `distill`" in card
    assert "nDCG@10" in card


@pytest.mark.parametrize(
    ("arguments", "progress"),
    [
        (("train", "no.toml"), "no.toml"),
        (("mine", "no.jsonl", "out.jsonl"), "no.jsonl: no such file"),
        (("teach", "no.jsonl", "out.jsonl"), "Give one teacher"),
    ],
)
def test_errors_are_one_line_and_a_code(
    arguments: tuple[str, ...], progress: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = called(capsys, *arguments)
    assert code != 0
    assert progress in err
    assert "Traceback" not in err
    assert not (tmp_path / "out.jsonl").exists()
