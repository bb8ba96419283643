"""polyvec verify: every checksum and every count of an index."""

from __future__ import annotations

from pathlib import Path

import click

from polyvec.cli.command import command
from polyvec.cli.options import index_argument, json_option
from polyvec.cli.render import console, line, print_done, print_json


@command(
    examples=[
        "polyvec verify wiki.polyvec",
    ]
)
@index_argument
@json_option
def verify(index_path: Path, as_json: bool) -> None:
    """Read every checksum of INDEX, and check its catalog.

    The catalog is held against the files. Exit 1 if anything is wrong.
    """
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened:
        problems = opened.verify()
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            console.print(line(("✗ ", "bold red"), problem), soft_wrap=True)
    else:
        print_done("every checksum is right")
    if problems:
        raise click.exceptions.Exit(1)
