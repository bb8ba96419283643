"""polyvec tune: what is kept aside, what is learned, and what is said of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyvec import Encoder
from polyvec.cli import main
from polyvec.errors import InputError, StorageError
from polyvec.training.tuning import TuningOptions, tune
from tests.training.conftest import write_rows

SHORT = TuningOptions(steps=3, document_tokens=24, rate=1e-3)


@pytest.fixture
def pairs(world: Path, tmp_path: Path) -> Path:
    lines = (world / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    return write_rows(tmp_path / "pairs.jsonl", [{**json.loads(line), "answer": ""} for line in lines])


def test_a_model_is_tuned_and_judged_by_language(world: Path, pairs: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    report = tune(
        pairs, tmp_path / "out", model=str(world / "model"), options=SHORT, progress=lambda *one: said.append(one)
    )
    assert report.steps == 3
    assert report.questions == 48
    assert set(report.before.by_lang) == set(report.after.by_lang) == {"de", "nld"}
    assert report.judged == 6
    assert not report.made_questions
    assert report.better == (report.after.measures["nDCG@10"] > report.before.measures["nDCG@10"])
    assert {what for what, _, _ in said} >= {"Training", "Judging the model as it is"}
    made = Encoder(tmp_path / "out")
    assert made.encode_query("licht").shape[1] == 16
    assert made.fingerprint != Encoder(world / "model").fingerprint
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "tuned by `polyvec tune` with 48 questions" in card
    assert ("Not better than" in card) == (not report.better)
    assert json.loads(json.dumps(report.to_dict()))["before"]["by_lang"].keys() == {"de", "nld"}


def test_the_same_seed_gives_the_same_model(world: Path, pairs: Path, tmp_path: Path) -> None:
    options = TuningOptions(steps=2, document_tokens=24, rate=1e-3, seed=5)
    for name in ("one", "two"):
        tune(pairs, tmp_path / name, model=str(world / "model"), options=options)
    first, second = (Encoder(tmp_path / name).encode_query("licht welt") for name in ("one", "two"))
    np.testing.assert_array_equal(first, second)


def test_passages_alone_are_enough(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (world / "parallel.jsonl").read_text(encoding="utf-8").splitlines()[:90]
    texts = [json.loads(line)["text"] for line in lines]
    rows: list[dict[str, object]] = [{"text": " ".join(texts[i : i + 3])} for i in range(0, 90, 3)]
    source = write_rows(tmp_path / "passages.jsonl", rows)
    capsys.readouterr()
    code = main(["tune", str(source), str(tmp_path / "out"), "--model", str(world / "model"), "--steps", "1", "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    report: dict[str, Any] = json.loads(printed.out)
    assert report["made_questions"] is True
    assert report["questions"] > 20


def test_a_model_that_is_no_better_is_said_to_be(
    world: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tune", str(pairs), str(tmp_path / "out"), "--model", str(world / "model"), "--steps", "1"]
    assert main([*words, "--rate", "1e-12"]) == 0  # it learns nothing
    printed = capsys.readouterr()
    assert "is not better than" in printed.err
    assert "before" in printed.out
    assert "Not better than" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_no_passage_that_judges_is_learned_from(pairs: Path) -> None:
    from polyvec.training.tuning_data import read_tuning_data

    for seed in range(5):
        data = read_tuning_data(pairs, held_out=0.3, seed=seed)
        texts = {one.id: one.text for one in data.judging.documents()}
        parts = [{texts[d] for grades in side.qrels.values() for d in grades} for side in (data.choosing, data.judging)]
        learned = {row.document for row in data.rows}
        assert not learned & parts[0]
        assert not learned & parts[1]
        assert not parts[0] & parts[1]
        assert not {row.query for row in data.rows} & {query.text for query in data.judging.judged_queries()}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "has no rows"),
        ([{"query": "a", "document": "b"}] * 30, "Expected 20 of each"),
        ([{"query": "a"}] * 30, "document is missing"),
        ([{"text": ""}] * 30, "text is missing"),
        ([{"query": "a", "document": f"b{i}", "lang": "??"} for i in range(30)], "not a language code"),
    ],
)
def test_wrong_rows_are_refused(rows: list[dict[str, object]], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        tune(write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_way_and_odd_numbers_are_refused(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    with pytest.raises(StorageError, match="something is there"):
        tune(pairs, tmp_path / "out")
    for wrong in ({"held_out": 0.9}, {"rate": 0}, {"negatives": 0}, {"steps": 0}, {"seed": -1}):
        with pytest.raises(InputError):
            TuningOptions(**wrong)  # type: ignore[arg-type]


def test_what_is_not_installed_is_one_line(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["tune", str(pairs), str(tmp_path / "out")]) != 0
    err = capsys.readouterr().err
    assert "pip install 'polyvec[train]'" in err
    assert len(err.strip().splitlines()) == 1
