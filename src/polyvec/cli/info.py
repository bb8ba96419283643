"""polyvec info: what an index holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvec.cli.command import command
from polyvec.cli.lines import printable
from polyvec.cli.options import index_argument, json_option
from polyvec.cli.render import console, human_bytes, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from polyvec.index.catalog.field_counts import FieldSummary


@command(examples=["polyvec info wiki.polyvec", "polyvec info wiki.polyvec --fields --json"])
@index_argument
@click.option(
    "--fields", "with_fields", is_flag=True, help="Show the metadata's fields and their most frequent values too."
)
@json_option
def info(index_path: Path, with_fields: bool, as_json: bool) -> None:
    """Show what INDEX holds: counts, sizes, languages, model."""
    from polyvec.publish.pulled_folder import origin_at
    from polyvec.shards.manifest import has_manifest
    from polyvec.shards.opening import open_collection

    with open_collection(index_path) as opened:
        facts = opened.info()
        fields = opened.fields() if with_fields else {}
    if not has_manifest(index_path) and (origin := origin_at(index_path)) is not None:
        facts["pulled"] = {"url": origin.url, "version": origin.version}
    if as_json:
        shown = {"fields": {name: one.to_dict() for name, one in fields.items()}} if with_fields else {}
        print_json({**facts, **shown})
        return
    table = _table()
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), printable(_shown(name, value)))
    console.print(table)
    if fields:
        console.print()
        console.print(_fields_table(fields))


def _shown(name: str, value: Any) -> str:
    if name.endswith("bytes"):
        return human_bytes(value)
    if isinstance(value, dict):
        return "  ".join(f"{key.replace('_', ' ')} {_shown(key, one)}" for key, one in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _fields_table(fields: dict[str, FieldSummary]) -> Table:
    from rich.table import Table

    table = Table("field", "documents", "types", "values", box=None, pad_edge=False, padding=(0, 2))
    for name, one in fields.items():
        about = "about " if one.estimated else ""
        values = "  ".join(f"{printable(value, 40)} {count:,}" for value, count in one.values[:8])
        if one.distinct is None:
            values = "too many to list"
        elif one.distinct > 8:
            values += f"  … {one.distinct:,} in all"
        table.add_row(printable(name, 40), f"{about}{one.documents:,}", ", ".join(one.types), values)
    return table


def _table() -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column()
    return table
