"""The script that makes the table of Vietnamese marks, on a few sentences."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from polyvec.data.files import zstandard
from polyvec.encoder import vietnamese

SCRIPT = Path(__file__).parents[2] / "recipes" / "vietnamese_marks.py"
VIETNAMESE = ["tôi có thể học", "thế giới có người", "tôi có thể làm", "người ở thế giới"]
ENGLISH = ["the man can do it and the boy can go to the top"] * 300


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("vietnamese_marks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.heavy  # needs babel, which comes with the site's tools
def test_the_table_says_how_often_forms_and_pairs_came(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("babel")
    rows = [{"lang": "vi", "en": "a", "text": text} for text in VIETNAMESE]
    rows += [{"lang": "en", "query": "what", "document": text} for text in ENGLISH]
    packed = zstandard().compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    (tmp_path / "a.jsonl.zst").write_bytes(packed)
    table = tmp_path / "table.txt"
    monkeypatch.setattr(sys, "argv", ["vietnamese_marks.py", str(tmp_path), str(table)])
    monkeypatch.setattr(script, "names", lambda: iter([("vi", "Việt Nam")] * 2))
    script.main()
    first, second = table.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    forms = {line.split(" ")[0]: line.split(" ")[1:] for line in first.split("\n")}
    assert forms["the"][1:] == ["thể", "2", "thế", "2"]
    assert float(forms["the"][0]) < float(forms["gioi"][0])  # English has it too
    assert "man" not in forms  # no Vietnamese word
    assert forms["viet"][1:] == ["việt", "2"]
    assert "có thể 2 người 1" in second.split("\n")
    monkeypatch.setattr(vietnamese, "TABLE", table)
    for kept in (vietnamese.syllables, vietnamese._pairs, vietnamese._after):
        kept.cache_clear()
    try:
        assert vietnamese.with_marks("toi co the lam") == "tôi có thể làm"
        assert vietnamese.with_marks("nguoi the gioi") == "người thế giới"
    finally:
        monkeypatch.undo()
        for kept in (vietnamese.syllables, vietnamese._pairs, vietnamese._after):
            kept.cache_clear()


def test_words_lose_what_people_do_not_type(script: Any) -> None:
    assert [script.plain(word) for word in ("đường", "Đà", "nghĩa", "abc")] == ["duong", "Da", "nghia", "abc"]
    found = list(script.lines(Counter({"tôi": 3, "tối": 1}), Counter({("^", "tôi"): 3, ("tôi", "tối"): 1}), {}))
    assert [line.split(" ", 2)[2] for line in found[:1]] == ["tôi 3 tối 1"]
    assert found[1:] == ["", "^ tôi 3", "tôi tối 1"]
