"""The reference page is not stale; every command has examples, which parse, and run where they take no model from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
from pathlib import Path

import pytest

from polyvec.cli import cli, main
from tests.cli.reference import PAGE, commands, page

COMMANDS = dict(commands())
EXAMPLES = [(name, example) for name, command in COMMANDS.items() for example in getattr(command, "examples", ())]
# Commands whose examples take a model from elsewhere, a network, a port or minutes: these are parsed only.
PARSED_ONLY = {
    "ablate",
    "bench",
    "cluster build",
    "cluster serve",
    "convert",
    "demo",
    "doctor",
    "evaluate",
    "follow",
    "mcp",
    "mine",
    "reproduce",
    "serve",
    "teach",
    "train",
    "tune",
}
if importlib.util.find_spec("obstore") is None:  # the extra that publishing needs
    PARSED_ONLY |= {"publish", "pull"}


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_a_short_first_line(name: str) -> None:
    command = COMMANDS[name]
    assert [example for of, example in EXAMPLES if of == name]
    assert command.help is not None
    first = command.help.splitlines()[0]
    assert len(first) + len("  reproduce  ") <= 80
    assert first.endswith(".")
    assert not command.get_short_help_str(64).endswith("...")


def test_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ["", *COMMANDS]:
        main([*name.split(), "--help"])
        text = capsys.readouterr().out.split("Examples:")[0]
        assert max(map(len, text.splitlines())) <= 80, name


def words(example: str) -> list[str]:
    """The arguments of polyvec in an example, without what a shell does beside it."""
    command = example.rsplit("|", maxsplit=1)[-1].strip()
    assert command.startswith("polyvec ")
    found = shlex.split(command)
    end = min((found.index(sign) for sign in ("<", ">") if sign in found), default=len(found))
    return found[1:end]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_parse(name: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "expected.toml").write_text("")
    given, of = words(example), name.split()
    assert given[: len(of)] == of
    assert len(example) <= 100
    COMMANDS[name].make_context(name, given[len(of) :], **cli.context_settings)  # raises for what does not parse


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    _files()
    assert main(["index", "docs.jsonl", "whole.polyvec", "--dim", "32"]) == 0
    ran = set()
    for name, example in EXAMPLES:
        if name in PARSED_ONLY:
            continue
        if name not in ("index", "add"):
            shutil.rmtree("wiki.polyvec", ignore_errors=True)
            shutil.copytree("whole.polyvec", "wiki.polyvec")
        stdin = Path(example.split()[1] if example.startswith("cat ") else "ids.txt")
        with stdin.open(encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stdin", stream)
            code = main(words(example))
        assert code == 0, (example, capsys.readouterr().err)
        if name == "add":  # the next example adds the same
            main(["delete", "wiki.polyvec", "new"])
        ran.add(name)
    assert ran == COMMANDS.keys() - PARSED_ONLY


def _files() -> None:
    rows = [
        {"id": str(n), "text": f"Tea number {n} is made of leaves.", "lang": "de", "year": 1990 + n}
        for n in range(40, 46)
    ]
    Path("docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Path("changed.jsonl").write_text('{"id": "42", "text": "Coffee."}\n', encoding="utf-8")
    Path("more.jsonl").write_text('{"id": "new", "text": "Water."}\n', encoding="utf-8")
    Path("years.csv").write_text("id,year\n42,2001\n", encoding="utf-8")
    Path("questions.txt").write_text("what is tea made of?\n", encoding="utf-8")
    Path("questions.tsv").write_text("q1\twhat is tea made of?\n", encoding="utf-8")
    Path("bm25.trec").write_text("q1 Q0 42 1 1.0 bm25\n", encoding="utf-8")
    Path("ids.txt").write_text("42\n43\n", encoding="utf-8")
