"""polyvec info: what an index holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polyvec.cli.lines import printable
from polyvec.cli.options import index_argument, json_option
from polyvec.cli.render import console, human_bytes, print_json


@click.command()
@index_argument
@json_option
def info(index_path: Path, as_json: bool) -> None:
    """Show what INDEX holds: counts, sizes, languages, model."""
    from rich.table import Table

    from polyvec.collection.index import Index

    with Index.open(index_path) as opened:
        facts = opened.info()
    if as_json:
        print_json(facts)
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), printable(_shown(name, value)))
    console.print(table)


def _shown(name: str, value: Any) -> str:
    if name.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, dict):
        return "  ".join(f"{key.replace('_', ' ')} {_shown(key, one)}" for key, one in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
