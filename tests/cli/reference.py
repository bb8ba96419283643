"""docs/cli.md: every command as its own help says it. Written by `make docs`, and held against the page by a test.

python -m tests.cli.reference
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from polyvec.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
WIDTH = 100
ABOUT = """# The command line

Every command, as `polyvec COMMAND --help` says it. `make docs` writes this page; a test fails where it is stale, and runs the
examples.

- **Order.** A command that makes something takes what it reads first and what it makes last: `polyvec index DOCS INDEX`,
  `copy INDEX OUT`, `encode TEXTS OUT`. A command that works on an index that is there names it first: `polyvec add INDEX DOCS`.
- **One word a thing.** `INDEX` is the folder of an index, and `--index` names one that is there. `--queries` is a file of
  questions, `--run-in` a TREC run to read, `--run-out` one to write, `--filter` a filter on metadata as JSON, `-k` hits a query.
  `-` is stdin or stdout.
- **Exit codes.** 0: done. 1: failed, or what was checked is wrong. 2: bad usage or bad input. 130: interrupted. An error is one
  line on stderr.
- **`--json`** prints one JSON object on one line in place of text; `search` prints one for each query. `bench` and `scan` always
  print JSON lines.

Complete commands in your shell: `eval "$(_POLYVEC_COMPLETE=bash_source polyvec)"`, or `zsh_source`, `fish_source`.
"""


def page() -> str:
    """The page as it should be."""
    context = click.Context(cli, info_name="polyvec", **{**cli.context_settings, "terminal_width": WIDTH})
    parts = [ABOUT, _block(cli.get_help(context))]
    for name, command in commands():
        inner = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
        parts.append(f"## polyvec {name}\n\n{_block(command.get_help(inner))}")
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command under its whole name, those of a family in place of the family."""
    context = click.Context(cli, info_name="polyvec")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group):
            yield name, command
            continue
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            assert inner is not None
            yield f"{name} {inner_name}", inner


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
