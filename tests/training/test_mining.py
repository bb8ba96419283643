"""Hard negatives, on an encoder for which equal words meet at similarity 1: scores can be read off the texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyvec.errors import InputError, StorageError
from polyvec.training.mining import mine
from tests.conftest import WordEncoder
from tests.training.conftest import write_rows

QUERY = "where grows the red apple tree"
PASSAGES = {
    "true": "where grows the red apple tree",
    "five": "where grows the red apple bush",
    "four": "where grows the red wine",
    "three": "where grows the grass",
    "two": "where grows moss",
    "none": "unrelated text entirely",
}
ROWS: list[dict[str, object]] = [
    {"query": QUERY if name == "true" else f"about {text}", "document": text, "lang": "en"}
    for name, text in PASSAGES.items()
]


def mined(tmp_path: Path, rows: list[dict[str, object]], **options: Any) -> tuple[list[dict[str, Any]], Any]:
    source = write_rows(tmp_path / "rows.jsonl", rows)
    report = mine(source, tmp_path / "out.jsonl", encoder=WordEncoder(dim=64), **options)  # type: ignore[arg-type]
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()], report


def test_the_true_passage_comes_first_then_the_nearest_others(tmp_path: Path) -> None:
    rows, report = mined(tmp_path, ROWS, negatives=3)
    assert [row["query"] for row in rows] == [row["query"] for row in ROWS]
    assert rows[0]["documents"] == [PASSAGES[name] for name in ("true", "five", "four", "three")]
    assert rows[0]["lang"] == "en"
    assert report.queries == 6
    assert report.negatives == sum(len(row["documents"]) - 1 for row in rows)


def test_a_candidate_too_near_the_true_passage_is_dropped(tmp_path: Path) -> None:
    rows, report = mined(tmp_path, ROWS, negatives=2, margin=0.75)
    assert rows[0]["documents"] == [PASSAGES[name] for name in ("true", "four", "three")]
    assert report.too_near >= 1


def test_negatives_come_from_the_window_of_ranks(tmp_path: Path) -> None:
    rows, _ = mined(tmp_path, ROWS, first_rank=3, last_rank=4)
    assert rows[0]["documents"] == [PASSAGES[name] for name in ("true", "four", "three")]


def test_a_candidate_that_holds_the_answer_is_dropped(tmp_path: Path) -> None:
    rows, report = mined(tmp_path, [{**ROWS[0], "answer": "Red Wine"}, *ROWS[1:]], negatives=2)
    assert rows[0]["documents"] == [PASSAGES[name] for name in ("true", "five", "three")]
    assert report.holding_answer == 1


def test_another_true_passage_of_the_question_is_no_negative(tmp_path: Path) -> None:
    second: dict[str, object] = {"query": QUERY, "document": PASSAGES["five"], "lang": "en"}
    rows, _ = mined(tmp_path, [ROWS[0], second, *ROWS[2:]], negatives=2)
    assert rows[0]["documents"] == [PASSAGES[name] for name in ("true", "four", "three")]
    assert rows[1]["documents"][0] == PASSAGES["five"]
    assert PASSAGES["true"] not in rows[1]["documents"]


def test_bad_input(tmp_path: Path) -> None:
    encoder: Any = WordEncoder()
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="no such file"):
        mine(tmp_path / "no.jsonl", out, encoder=encoder)
    with pytest.raises(InputError, match="has no rows"):
        mine(write_rows(tmp_path / "empty.jsonl", []), out, encoder=encoder)
    with pytest.raises(InputError, match="row 1: document is missing"):
        mine(write_rows(tmp_path / "half.jsonl", [{"query": "a"}]), out, encoder=encoder)
    good = write_rows(tmp_path / "good.jsonl", ROWS)
    with pytest.raises(InputError, match="ranks 5 to 2"):
        mine(good, out, encoder=encoder, first_rank=5, last_rank=2)
    assert not out.exists()
    out.write_text("kept", encoding="utf-8")
    with pytest.raises(StorageError, match="exists already"):
        mine(good, out, encoder=encoder)
    assert out.read_text(encoding="utf-8") == "kept"
