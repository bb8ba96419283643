"""The script that makes the table of Greek words, on a few sentences."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from polyvec.data.files import zstandard

SCRIPT = Path(__file__).parents[2] / "recipes" / "greek_accents.py"


def test_of_words_that_differ_in_accents_the_most_frequent_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"lang": "el", "en": "a", "text": "Πού είναι η γάτα; Η γάτα είναι που ΝΑΤΟ."},
        {"lang": "el", "query": "που", "document": "ώρα"},
        {"lang": "de", "query": "was", "document": "λόγος"},
    ]
    (tmp_path / "a.jsonl.zst").write_bytes(
        zstandard().compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    )
    monkeypatch.setattr(sys, "argv", ["greek_accents.py", str(tmp_path), str(tmp_path / "table.txt")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert (tmp_path / "table.txt").read_text(encoding="utf-8").split() == ["γάτα", "είναι", "η", "που", "ώρα"]
