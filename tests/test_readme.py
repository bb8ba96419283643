"""Links of every page lead somewhere, and the architecture's drawings name what is there. tests/docs runs the README's code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "native").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_walks_of_the_architecture_name_what_is_there() -> None:
    """Each step of a drawing ends with a file and, after a colon, a function or a method of it."""
    source = ROOT / "src" / "polyvec"
    steps = re.findall(
        r"<br>([\w/]+\.py): ((?:\w+\.)?[A-Za-z]\w+)(?=[\",])", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    )
    assert len(steps) >= 15
    missing = [
        f"{file}: {name}"
        for file, name in steps
        if not re.search(
            rf"^ *(?:async )?(?:def|class) {name.split('.')[-1]}\b", (source / file).read_text(encoding="utf-8"), re.M
        )
    ]
    assert missing == []
