"""docs/start, followed literally from a wheel in an empty folder: what a reader copies, and nothing else, leads to the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.start import DOCS, follow, wheel

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not DOCS.is_dir(), reason="the tests of an installed package come without docs/"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


@pytest.mark.timeout(900)
def test_start_leads_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "empty").mkdir()
    steps = follow(tmp_path / "empty", wheel(tmp_path / "wheels"))
    assert [step.page for step in steps if step.served] == ["page.md"]
