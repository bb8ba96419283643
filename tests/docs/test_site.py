"""The site: it builds without a warning, loads nothing from elsewhere, and every page of docs/ is in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (ROOT / "mkdocs.yml").is_file(), reason="the tests of an installed package come without docs/"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Python's sockets are cut, so that a builder that asks the network fails."""
    folder = tmp_path_factory.mktemp("site")
    cut = tmp_path_factory.mktemp("cut")
    (cut / "sitecustomize.py").write_text(
        "import socket\n\ndef refused(*arguments, **keywords):\n    raise OSError('this build has no network')\n\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused\n",
        encoding="utf-8",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": os.pathsep.join([str(cut), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)\"|<link[^>]*\shref=\"([^\"]+)\"", text)
        assert [one for pair in loaded for one in pair if one.startswith(("http:", "https:", "//"))] == [], page


def test_every_page_of_the_folder_is_in_the_menu(site: Path) -> None:
    """A page that no menu has is found by nobody."""
    menu = (site / "index.html").read_text(encoding="utf-8")
    linked = {href.split("#")[0] for href in re.findall(r'href="([^"]+\.html[^"]*)"', menu)}
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == set(), "name these in the menu of mkdocs.yml"


def test_flow_charts_are_lists(site: Path) -> None:
    page = (site / "inside" / "architecture.html").read_text(encoding="utf-8")
    assert page.count('<ol class="flow">') >= 3
    assert "flowchart" not in page
    assert "index/session.py: Session.writing" in page


def test_options_have_the_comments_of_their_fields(site: Path) -> None:
    page = (site / "reference" / "search.html").read_text(encoding="utf-8")
    assert "Hits to return." in page
    assert "Centroids visited for each query token." in page


def test_links_to_sources_lead_to_a_page_with_them(site: Path) -> None:
    assert "sources/deploy/nginx.conf.html" in (site / "serving.html").read_text(encoding="utf-8")
    assert "proxy_pass" in (site / "sources" / "deploy" / "nginx.conf.html").read_text(encoding="utf-8")
