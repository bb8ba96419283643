"""Names, options, calls and fields that users write against are those of the lists; a change of them is made on purpose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.release.surface import GOLDEN, SURFACES

MESSAGE = """
{name}: what users write against has changed.
{gone}{new}If this is meant: read docs/compatibility.md (what is gone or different needs a deprecation first), say it in
CHANGELOG.md, and run `make surface` to write the list anew.
"""


def difference(name: str, promised: list[str], found: list[str]) -> str:
    """What to tell the person who changed it; empty if nothing is different."""
    gone = "".join(f"  gone or different:  {line}\n" for line in promised if line not in found)
    new = "".join(f"  new:                {line}\n" for line in found if line not in promised)
    return MESSAGE.format(name=name, gone=gone, new=new) if gone or new else ""


@pytest.mark.parametrize("name", SURFACES)
def test_what_users_write_against_is_as_listed(name: str) -> None:
    if name == "http":
        pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    promised = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    found = SURFACES[name]()
    assert len(found) > 50
    assert len(set(found)) == len(found), "a fact stands twice"
    told = difference(name, promised, found)
    assert not told, told


def test_the_message_tells_what_is_gone_and_what_is_new() -> None:
    told = difference("python", ["search(k = 10)", "add(rows)"], ["search(k = 20)", "add(rows)"])
    assert "gone or different:  search(k = 10)" in told
    assert "new:                search(k = 20)" in told
    assert "add(rows)" not in told
    assert "make surface" in told
    assert difference("python", ["a"], ["a"]) == ""


def test_the_lists_name_what_everybody_uses() -> None:
    lists = {name: (GOLDEN / f"{name}.txt").read_text(encoding="utf-8") for name in SURFACES}
    assert "classmethod Index.open(" in lists["python"]
    assert "errors.FilterError(InputError)" in lists["python"]
    assert "polyvec search --filter" in lists["commands"]
    assert "POST /v1/search" in lists["http"]
    assert "SearchRequest.k" in lists["http"]


def test_the_lists_do_not_depend_on_the_run() -> None:
    """Two processes with other hash seeds write the same lines."""
    code = "from tests.release.surface import python_names, commands; print(*python_names(), *commands(), sep='\\n')"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert " at 0x" not in runs[0]
