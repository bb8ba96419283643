"""docs/publishing.md: its example runs, with a folder in place of a bucket."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import polyvec
from polyvec.cli import main
from tests.conftest import WordEncoder
from tests.publish.indexes import make_index

PAGE = Path(__file__).parents[2] / "docs" / "publishing.md"


def test_the_example_runs(tmp_path: Path, encoder: WordEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_index(tmp_path / "wiki.polyvec", [{"id": str(n), "text": f"tea number w{n}"} for n in range(40, 50)], encoder)
    text = PAGE.read_text(encoding="utf-8")
    [commands] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in commands.splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    with polyvec.Index.open("yesterday.polyvec") as index:
        assert "42" in index
