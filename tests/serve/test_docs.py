"""docs/serving.md: its examples are run against a server and print what it shows; its tables are those of the program.

After a change of what the examples print, POLYVEC_UPDATE_DOCS=1 writes what they print into the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from click.testing import CliRunner

from polyvec.cli.demo import demo
from polyvec.cli.mcp import mcp
from polyvec.cli.serve import serve
from polyvec.data.toml_tables import read_toml
from polyvec.serve.config import ServeConfig
from polyvec.serve.schemas import SearchRequest
from polyvec.serve.tokens import load_tokens
from tests.serve.page_of_docs import as_shown, blocks, run_page, same

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the tests of an installed package come without docs/")


def _page() -> str:
    return PAGE.read_text(encoding="utf-8")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_examples_print_what_the_page_shows(tmp_path: Path) -> None:
    page = _page()
    updated, moved = page, 0
    compared = 0
    for block, shows, printed in run_page(page, tmp_path, _free_port()):
        if shows is None:
            continue
        compared += 1
        if os.environ.get("POLYVEC_UPDATE_DOCS"):
            text = as_shown(printed)
            updated = updated[: shows.start + moved] + text + updated[shows.end + moved :]
            moved += len(text) - (shows.end - shows.start)
        else:
            assert same(shows.text, printed), f"{block.text}\nshows\n{shows.text}\nand prints\n{printed}"
    assert compared >= 10
    if updated != page:
        PAGE.write_text(updated, encoding="utf-8")


def _table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = _page().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_the_table_of_settings_is_that_of_the_program() -> None:
    rows = {row[0].strip("`"): row[1] for row in _table("Settings")}
    assert list(rows) == [one.name for one in fields(ServeConfig)]
    for one in fields(ServeConfig):
        shown = rows[one.name]
        if one.default in (None, ()):
            assert not shown.startswith("`"), one.name
        else:
            assert shown == f"`{json.dumps(one.default)}`", one.name


def test_the_table_of_a_search_is_that_of_the_program() -> None:
    rows = [row[0].strip("`") for row in _table("Calls by example")]
    assert set(rows) == set(SearchRequest.model_fields)


def test_settings_have_flags_of_the_same_name() -> None:
    flags = {parameter.name for parameter in serve.params}
    assert {one.name for one in fields(ServeConfig)} - flags == {"tokens"}


def test_options_in_the_text_exist() -> None:
    known = {name for command in (serve, mcp, demo) for parameter in command.params for name in parameter.opts}
    known |= {"--data-binary"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _page())) <= known


def test_snippets_for_assistants_start_the_tools() -> None:
    snippets = [json.loads(block.text) for block in blocks(_page()) if block.note == "mcp"]
    assert len(snippets) == 3
    for snippet in snippets:
        ((name, entry),) = next(iter(snippet.values())).items()
        assert name == "wiki"
        if entry.get("type") == "http":
            assert entry["url"].endswith("/mcp")
            continue
        assert entry["command"] == "polyvec"
        command, *arguments = entry["args"]
        assert command == "mcp"
        said = CliRunner().invoke(mcp, arguments)  # an index that is not here: everything before that was right
        assert "wiki.polyvec" in str(said.exception)


def test_the_token_file_is_one(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(_page()) if block.language == "toml"]
    path = tmp_path / "tokens.toml"
    path.write_text(block.text, encoding="utf-8")
    assert read_toml(path)["tokens"].keys() == {"search-page", "importer"}
    tokens = load_tokens(str(path), ())
    reader = tokens.find(b"a-long-secret-that-nobody-guesses")
    writer = tokens.find(b"another-long-secret-that-nobody-guesses")
    assert reader is not None
    assert not reader.may_write
    assert writer is not None
    assert writer.may_write


def test_links_lead_somewhere() -> None:
    page = _page()
    anchors = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("## ")
    }
    for target in re.findall(r"\]\(([^)]+)\)", page):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            assert (PAGE.parent / target).exists(), target
