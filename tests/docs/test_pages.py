"""docs/start, docs/understand, docs/do and the README: every block runs, and what a page shows is what was printed.

Each page runs in a folder of its own that holds the demo's index; the pages of Start share one, as a reader does. After a change of
what the examples print, POLYVEC_UPDATE_DOCS=1 writes what they print into the pages.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.serve.page_of_docs import as_shown, blocks, run_page, same

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

pytestmark = [
    pytest.mark.timeout(1800),  # a busy machine is slow, not wrong
    pytest.mark.skipif(
        not (ROOT / "mkdocs.yml").is_file(), reason="the tests of an installed package come without docs/"
    ),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]
START = [f"start/{name}.md" for name in ("first-index", "across-languages", "page")]
INSTALL = "start/install.md"  # tests/docs/test_start.py does what it says
# Pages that take many seconds, or packages that `make test` does without.
HEAVY = {
    "do/published-checkpoints.md": "sentence_transformers",
    "do/evaluate.md": "ir_measures",
    "do/pick-a-size.md": "ir_measures",
    "do/fine-tune.md": "sentence_transformers",
    "do/frameworks.md": "langchain_core",
}
ALONE = [
    "index.md",
    *sorted(f"{folder}/{path.name}" for folder in ("understand", "do") for path in (DOCS / folder).glob("*.md")),
]


@pytest.fixture(scope="module")
def demo_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index that `polyvec demo` makes."""
    from polyvec.demo import build_demo_index, load_demo
    from polyvec.encoder import Encoder

    path = tmp_path_factory.mktemp("demo") / "demo.polyvec"
    build_demo_index(load_demo(), path, Encoder(), lambda count: None).close()
    return path


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if name in HEAVY else name for name in ALONE]
)
def test_a_page_prints_what_it_shows(
    name: str, demo_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in HEAVY and importlib.util.find_spec(HEAVY[name]) is None:
        pytest.skip(f"{HEAVY[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo_index, tmp_path / "demo.polyvec")
    check(DOCS / name, tmp_path)


def test_the_pages_of_start_print_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in START:
        check(DOCS / name, tmp_path)


def test_the_readme_prints_what_it_shows(demo_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo_index, tmp_path / "demo.polyvec")
    check(ROOT / "README.md", tmp_path)


def test_every_page_is_run() -> None:
    there = {
        str(path.relative_to(DOCS))
        for folder in ("start", "understand", "do")
        for path in (DOCS / folder).rglob("*.md")
    }
    assert there == {*START, INSTALL, *ALONE} - {"index.md"}
    assert set(HEAVY) <= there


def test_every_block_says_what_it_is() -> None:
    """A fence without a language, or code by indentation, would be run by nobody."""
    for name in (*START, INSTALL, *ALONE):
        text = (DOCS / name).read_text(encoding="utf-8")
        assert len(re.findall(r"^```", text, re.M)) == 2 * len(blocks(text)), name
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        assert not re.search(r"\n\n    \S", outside), f"{name} has code by indentation"
        assert {block.language for block in blocks(text)} <= {"sh", "python", "text", "json", "toml"}, name


def check(path: Path, folder: Path) -> None:
    """Run a page and compare, or write into it what was printed."""
    page = updated = path.read_text(encoding="utf-8")
    moved = 0
    for block, shows, printed in run_page(page, folder, _free_port()):
        if shows is None:
            assert not printed.strip() or "sh" in block.language, f"{path.name}: {block.text}\nprints\n{printed}"
            continue
        text = as_shown(printed.replace(str(folder), "/home/me"))
        if os.environ.get("POLYVEC_UPDATE_DOCS"):
            if not same(shows.text, text):
                updated = updated[: shows.start + moved] + text + updated[shows.end + moved :]
                moved += len(text) - (shows.end - shows.start)
        else:
            assert same(shows.text, text), f"{path.name}: {block.text}\nshows\n{shows.text}\nand prints\n{printed}"
    if updated != page:
        path.write_text(updated, encoding="utf-8")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
