"""docs/scale-out.md: its examples run and print what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyvec.shards.manifest import MANIFEST_FILE
from tests.serve.page_of_docs import run_page, same

PAGE = Path(__file__).parents[2] / "docs" / "scale-out.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the tests of an installed package come without docs/")


def test_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compared = 0
    for block, shows, printed in run_page(PAGE.read_text(encoding="utf-8"), tmp_path, port=0):
        if shows is not None:
            compared += 1
            assert same(shows.text, printed), f"{block.text}\nshows\n{shows.text}\nand prints\n{printed}"
        elif block.language == "python":
            assert len(printed.split()) == 2
    assert compared == 2
    names = {path.name for path in (tmp_path / "several").iterdir()}
    assert names == {MANIFEST_FILE, "commit.lock", "shard-000", "shard-001"}
