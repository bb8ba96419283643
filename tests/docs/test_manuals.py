"""The manuals of docs/: their Python runs on what a page takes for granted, commands parse, and keys of recipes exist.

Pages with a test of their own (serving, scale-out, publishing, frameworks) are left to it.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import polyvec
from polyvec.cli import cli
from tests.serve.page_of_docs import Block, blocks
from tests.training.recipe_keys import rendered

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = {"serving.md", "scale-out.md", "publishing.md", "frameworks.md", "index.md"}
# Python that needs a checkpoint or a trained model from elsewhere: it is compiled, and not run.
COMPILED = ("colbert-ir/colbertv2.0", "MultiVectorEncoder(", "polyvec.training.averaging", "jinaai/")

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the tests of an installed package come without docs/")


def _blocks(*languages: str) -> list[Any]:
    """The blocks of these languages, page by page."""
    return list(_found(*languages))


def _found(*languages: str) -> Iterator[Any]:
    for page in sorted(DOCS.glob("*.md")):
        if page.name not in ELSEWHERE:
            for number, block in enumerate(blocks(page.read_text(encoding="utf-8"))):
                if block.language in languages:
                    yield pytest.param(page, block, id=f"{page.stem}-{number}")


def _taken_for_granted(page: Path) -> dict[str, Any]:
    """The names and files that a reader has before the first block of a page."""
    names: dict[str, Any] = {"__name__": "docs", "polyvec": polyvec, "Encoder": polyvec.Encoder}
    if page.name == "living-index.md":
        names["index"] = polyvec.Index.create("wiki.polyvec", encoder=polyvec.Encoder(dim=32))
        names["index"].add([{"id": "7", "text": "Tea.", "lang": "de"}])
    if page.name == "encoder.md":
        Path("texts.txt").write_text("Plants turn light into sugar.\nThe Rhine flows.\n", encoding="utf-8")
    return names


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a page opens a file in passing
@pytest.mark.parametrize(("page", "block"), _blocks("python"))
def test_python_runs(page: Path, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(block.text, page.name, "exec")
    if not any(word in block.text for word in COMPILED):
        names = _taken_for_granted(page)
        exec(code, names)
        for value in {id(value): value for value in names.values()}.values():
            if isinstance(value, polyvec.Index):
                value.close()


@pytest.mark.parametrize(("page", "block"), _blocks("sh"))
def test_commands_parse(page: Path, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    context = click.Context(cli, info_name="polyvec", **cli.context_settings)
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["polyvec"]:
            continue
        end = min((words.index(sign) for sign in ("<", ">", "|") if sign in words), default=len(words))
        command = cli.get_command(context, words[1])
        assert command is not None
        try:
            command.make_context(words[1], words[2:end], parent=context)
        except click.BadParameter as error:
            if "does not exist" not in str(error):  # files that only a reader has
                raise


@pytest.mark.parametrize(("page", "block"), _blocks("toml"))
def test_keys_of_recipes_exist(page: Path, block: Block) -> None:
    known = set(re.findall(r"^\| `([\w.\[\]]+)` \|", rendered(), re.M))
    recipe = tomllib.loads(block.text)
    for name, value in recipe.items():
        if isinstance(value, dict):
            assert {f"{name}.{key}" for key in value} <= known
        elif isinstance(value, list):
            assert {f"{name}[].{key}" for row in value for key in row} <= known
        else:
            assert name in known
